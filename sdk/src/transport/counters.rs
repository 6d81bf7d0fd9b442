/// What has passed in one direction since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounters {
    /// Whole messages.
    pub messages: u64,
    /// Sealed frames; below `messages` where small messages shared frames.
    pub frames: u64,
    /// Bytes on the wire, lengths and tags included.
    pub bytes: u64,
}

impl SessionCounters {
    pub(super) const fn count_frame(&mut self, bytes: usize) {
        self.frames = self.frames.wrapping_add(1);
        // Lossless: no supported machine has addresses of more than 64 bits.
        #[expect(clippy::as_conversions, reason = "usize is at most 64 bits wide")]
        {
            self.bytes = self.bytes.wrapping_add(bytes as u64);
        }
    }

    pub(super) const fn count_message(&mut self) {
        self.messages = self.messages.wrapping_add(1);
    }
}
