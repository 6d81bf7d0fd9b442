//! What peers and the disk bring: packets and stored channels. No panic, and what decodes encodes to the very same bytes.

#![no_main]

use channel::Channel;
use libfuzzer_sys::fuzz_target;
use scale::Encode;
use sdk::node::Packet;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packet) = Packet::from_bytes(bytes) {
        assert_eq!(packet.encode(), bytes);
    }
    if let Ok(channel) = Channel::load(bytes, [], [], []) {
        let saved = channel.save();
        assert_eq!(Channel::load(&saved, [], [], []).expect("its own form").save(), saved);
    }
});
