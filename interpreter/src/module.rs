//! One app: its code compiled once, a fresh instance for every call.

use crate::{
    AppRefused,
    check::{Checked, Imports, check},
    host::{self, End, Host},
    meter::{ChainCosts, Meter},
};
use protocol::{
    Hash,
    contracts::CallFault,
    crypto::{Crypto, Native},
};
use std::{fmt, sync::Arc};
use wasmi::{
    CompilationMode, Config, Engine, ExternType, LinkerBuilder, Memory, MemoryType, Module, StackLimits, Store,
    state::Ready,
};

/// The fuel that the chain's interpreter takes for each byte of a function when it is first entered in a call.
const FUEL_TO_COMPILE_A_BYTE: u64 = 7;
/// The flags that the chain knows in an answer: that it reverts, which changes nothing for who may only read.
const KNOWN_FLAGS: u32 = 1;

/// The hash by which the chain knows code.
#[must_use]
pub fn code_hash(code: &[u8]) -> Hash {
    Native.hash(code)
}

/// What one call of any app may take, and at what prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Picoseconds.
    pub(crate) time: u64,
    pub(crate) costs: ChainCosts,
}

/// Code that was found good.
pub(crate) struct LoadedApp {
    code: Arc<[u8]>,
    /// An engine for each app: whoever compiles one keeps nobody waiting who runs another.
    compiled: Compiled,
    functions: LinkerBuilder<Ready, Host>,
    pages: (u32, u32),
}

struct Compiled {
    engine: Engine,
    module: Module,
}

impl LoadedApp {
    /// Checks code and compiles it.
    pub(crate) fn new(code: &[u8], imports: Imports) -> Result<Self, AppRefused> {
        let Checked { pages, forbidden } = check(code, imports)?;
        let compiled = Compiled::new(code, CompilationMode::Eager)?;
        let functions = if forbidden.is_empty() {
            host::FUNCTIONS.clone()
        } else {
            host::functions(&compiled.types_of(&forbidden))
        };
        let app = Self { code: code.into(), compiled, functions, pages };
        let allowance = Allowance { time: 0, costs: ChainCosts::CONTRACTS_NODE };
        let started = app.instance(&app.compiled, Vec::new(), &allowance);
        let _instance = started.map_err(|error| AppRefused::NotStartable { message: error.to_string() })?;
        Ok(app)
    }

    pub(crate) fn code(&self) -> Arc<[u8]> {
        self.code.clone()
    }

    /// Tells a fresh instance `message`, and gives its answer.
    ///
    /// The chain compiles a function when a call first enters it, and charges for it. Here all are compiled long before, so that a call
    /// that comes so close to its limit that this could matter is run again, as slowly as on chain.
    ///
    /// What it took is counted without the compiling, so that it is the same whichever way it was run.
    pub(crate) fn run(&self, message: Vec<u8>, allowance: &Allowance) -> Result<(Vec<u8>, u64), CallFault> {
        let to_compile_all = u64::try_from(self.code.len()).unwrap_or(u64::MAX).saturating_mul(FUEL_TO_COMPILE_A_BYTE);
        let (answer, meter) = self.run_in(&self.compiled, message.clone(), allowance)?;
        let took = allowance.time.saturating_sub(meter.time_left());
        if meter.could_spare(to_compile_all) {
            return Ok((answer, took));
        }
        let as_on_chain = Compiled::new(&self.code, CompilationMode::LazyTranslation);
        let as_on_chain = as_on_chain.map_err(|_was_good_before| CallFault::Failed)?;
        self.run_in(&as_on_chain, message, allowance).map(|(answer, _meter)| (answer, took))
    }

    /// What telling a fresh instance `message` takes, in picoseconds; compiling its functions apart.
    pub(crate) fn spend(&self, message: Vec<u8>, allowance: &Allowance) -> Result<u64, CallFault> {
        let (_answer, meter) = self.run_in(&self.compiled, message, allowance)?;
        Ok(allowance.time.saturating_sub(meter.time_left()))
    }

    fn run_in(
        &self,
        compiled: &Compiled,
        message: Vec<u8>,
        allowance: &Allowance,
    ) -> Result<(Vec<u8>, Meter), CallFault> {
        let (mut store, instance) = self.instance(compiled, message, allowance).map_err(failed)?;
        store.set_fuel(store.data().meter.fuel()).map_err(failed)?;
        let call = instance.get_func(&store, "call").ok_or(CallFault::Failed)?;
        let end = call.call(&mut store, &[], &mut []);
        let fuel = store.get_fuel().map_err(failed)?;
        let mut meter = store.into_data().meter;
        meter.see(fuel).map_err(|_out_of_weight| CallFault::Failed)?;
        let answer = match end {
            // It went back without a word.
            Ok(()) => Vec::new(),
            Err(error) => match error.downcast::<End>() {
                Some(End::Answer { flags, bytes }) if flags & !KNOWN_FLAGS == 0 => bytes,
                Some(End::Answer { .. } | End::Broken) | None => return Err(CallFault::Failed),
            },
        };
        Ok((answer, meter))
    }

    /// A fresh instance, with memory of its own.
    fn instance(
        &self,
        compiled: &Compiled,
        message: Vec<u8>,
        allowance: &Allowance,
    ) -> Result<(Store<Host>, wasmi::Instance), wasmi::Error> {
        let (initial, maximum) = self.pages;
        let meter = Meter::new(allowance.time, allowance.costs.fuel);
        let mut store = Store::new(&compiled.engine, Host { memory: None, message, meter, costs: allowance.costs });
        let memory = Memory::new(&mut store, MemoryType::new(initial, Some(maximum))?)?;
        store.data_mut().memory = Some(memory);
        let mut linker = self.functions.create(&compiled.engine);
        let linker = linker.define("env", "memory", memory)?;
        let instance = linker.instantiate(&mut store, &compiled.module)?.ensure_no_start(&mut store)?;
        Ok((store, instance))
    }
}

/// Whatever ends a call but its answer is the same to whoever asked.
fn failed(_error: impl Into<wasmi::Error>) -> CallFault {
    CallFault::Failed
}

impl Compiled {
    /// The interpreter as `pallet-contracts` 38 sets it, but for when it compiles.
    fn new(code: &[u8], mode: CompilationMode) -> Result<Self, AppRefused> {
        let mut config = Config::default();
        let _config = config
            .wasm_multi_value(false)
            .wasm_mutable_global(false)
            .wasm_sign_extension(true)
            .wasm_bulk_memory(false)
            .wasm_reference_types(false)
            .wasm_tail_call(false)
            .wasm_extended_const(false)
            .wasm_saturating_float_to_int(false)
            .floats(false)
            .compilation_mode(mode)
            .set_stack_limits(StackLimits::default())
            .consume_fuel(true);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, code).map_err(|error| AppRefused::Invalid { message: error.to_string() })?;
        Ok(Self { engine, module })
    }

    fn types_of(&self, functions: &[(String, String)]) -> Vec<(String, String, wasmi::FuncType)> {
        let is_asked = |import: &wasmi::ImportType<'_>| {
            functions.iter().any(|(module, name)| (&**module, &**name) == (import.module(), import.name()))
        };
        let imports = self.module.imports().filter(is_asked);
        imports
            .filter_map(|import| match import.ty() {
                ExternType::Func(ty) => Some((import.module().to_owned(), import.name().to_owned(), ty.clone())),
                _ => None,
            })
            .collect()
    }
}

impl fmt::Debug for LoadedApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedApp").field("bytes", &self.code.len()).field("pages", &self.pages).finish_non_exhaustive()
    }
}
