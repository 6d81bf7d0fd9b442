//! The host functions: what the chain does, to the byte and to the picosecond.

use crate::{
    check::MAX_PAGES,
    meter::{ChainCosts, Meter, OutOfWeight},
};
use std::{fmt, sync::LazyLock};
use wasmi::{Caller, Error, FuncType, LinkerBuilder, Memory, core::HostError, state::Ready};

/// As long as all the memory there can be: nothing longer is even looked at.
const MAX_ANSWER: u32 = MAX_PAGES * 65_536;
/// How a length is written into the app's memory.
const LENGTH_BYTES: usize = size_of::<u32>();

/// What the functions work on in one call.
#[derive(Debug)]
pub(crate) struct Host {
    /// None only before it begins.
    pub(crate) memory: Option<Memory>,
    /// What the app is told.
    pub(crate) message: Vec<u8>,
    pub(crate) meter: Meter,
    pub(crate) costs: ChainCosts,
}

/// How an app's run ends by a host function.
#[derive(Debug)]
pub(crate) enum End {
    /// It returned.
    Answer { flags: u32, bytes: Vec<u8> },
    /// It did something wrong.
    Broken,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer { .. } => "the app returned",
            Self::Broken => "the app was stopped",
        })
    }
}

impl HostError for End {}

impl From<OutOfWeight> for End {
    fn from(OutOfWeight: OutOfWeight) -> Self {
        Self::Broken
    }
}

/// The functions that every app may import.
pub(crate) static FUNCTIONS: LazyLock<LinkerBuilder<Ready, Host>> = LazyLock::new(|| functions(&[]));

/// The same, and some that end the call.
pub(crate) fn functions(forbidden: &[(String, String, FuncType)]) -> LinkerBuilder<Ready, Host> {
    let mut linker = wasmi::Linker::build();
    let defined = linker
        .func_wrap("seal0", "input", input)
        .and_then(|linker| linker.func_wrap("seal0", "seal_return", seal_return))
        .and_then(|linker| linker.func_wrap("seal0", "value_transferred", value_transferred));
    let _linker = defined.expect("three names");
    for (module, name, ty) in forbidden {
        let stopped = |_: Caller<'_, Host>, _: &[wasmi::Val], _: &mut [wasmi::Val]| Err(Error::host(End::Broken));
        // What is imported twice is there already.
        let _linker = linker.func_new(module, name, ty.clone(), stopped);
    }
    linker.finish()
}

/// Writes the message to `out`, and its length to where the room was told.
fn input(caller: Caller<'_, Host>, out: u32, room_at: u32) -> Result<(), Error> {
    enter(caller, |memory, host| {
        let length = u32::try_from(host.message.len()).map_err(|_longer_than_memory| End::Broken)?;
        let price = host.costs.input.of(length);
        hand_out(memory, out, room_at, &host.message, || host.meter.charge(price))
    })
}

/// Ends the call with an answer.
fn seal_return(caller: Caller<'_, Host>, flags: u32, at: u32, length: u32) -> Result<(), Error> {
    enter(caller, |memory, host| {
        host.meter.charge(host.costs.answer.of(length))?;
        if length > MAX_ANSWER {
            return Err(End::Broken);
        }
        let bytes = span(at, length).and_then(|span| memory.get(span)).ok_or(End::Broken)?.to_vec();
        Err(End::Answer { flags, bytes })
    })
}

/// Writes how many coins came with the call: none, since who may only read cannot be paid.
fn value_transferred(caller: Caller<'_, Host>, out: u32, room_at: u32) -> Result<(), Error> {
    enter(caller, |memory, host| {
        host.meter.charge(host.costs.value_transferred)?;
        hand_out(memory, out, room_at, &0u128.to_le_bytes(), || Ok(()))
    })
}

/// Runs a host function between two looks at the meter, where the pallet looks.
fn enter(
    mut caller: Caller<'_, Host>,
    function: impl FnOnce(&mut [u8], &mut Host) -> Result<(), End>,
) -> Result<(), Error> {
    let fuel = caller.get_fuel()?;
    let memory = caller.data().memory.ok_or_else(|| Error::host(End::Broken))?;
    let (memory, host) = memory.data_and_store_mut(&mut caller);
    host.meter.see(fuel).map_err(|error| Error::host(End::from(error)))?;
    let before = host.meter.time_left();
    let result = host.meter.charge(host.costs.host_call).map_err(End::from);
    let result = result.and_then(|()| function(memory, host));
    // Also where the function ended the call: the chain then prefers to say that it was too dear.
    host.meter.leave(before).map_err(|error| Error::host(End::from(error)))?;
    result.map_err(Error::host)
}

/// Writes bytes to `out` where the room told at `room_at` is enough, and their length to `room_at`.
fn hand_out(
    memory: &mut [u8],
    out: u32,
    room_at: u32,
    bytes: &[u8],
    charge: impl FnOnce() -> Result<(), OutOfWeight>,
) -> Result<(), End> {
    let length = u32::try_from(bytes.len()).map_err(|_longer_than_memory| End::Broken)?;
    let length_span = span(room_at, 4).ok_or(End::Broken)?;
    let room = memory.get(length_span.clone()).and_then(|bytes| <[u8; LENGTH_BYTES]>::try_from(bytes).ok());
    let room = u32::from_le_bytes(room.ok_or(End::Broken)?);
    if room < length {
        return Err(End::Broken);
    }
    charge()?;
    memory.get_mut(span(out, length).ok_or(End::Broken)?).ok_or(End::Broken)?.copy_from_slice(bytes);
    memory.get_mut(length_span).ok_or(End::Broken)?.copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// A place in the app's memory, which may lie outside of it.
fn span(at: u32, length: u32) -> Option<std::ops::Range<usize>> {
    let at = usize::try_from(at).ok()?;
    Some(at..at.checked_add(usize::try_from(length).ok()?)?)
}
