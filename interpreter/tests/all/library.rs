//! Native code beside Wasm, and many threads at once.

use crate::{CONTEXT, answering, app, call, interpreter, outcome};
use interpreter::{AddError, AppRefused, Library, MAX_APPS, code_hash};
use protocol::{
    Hash,
    contracts::{AppOutcome, Apps, CallFault, NativeApps},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

fn native(code: Hash) -> NativeApps {
    let mut apps = NativeApps::new();
    apps.register_as(
        code,
        |_context, input| Ok(Ok(AppOutcome { output: input.to_vec(), ..AppOutcome::default() })),
        |_context, state, _input| Ok(Ok(AppOutcome { output: vec![7; state.len()], ..AppOutcome::default() })),
    );
    apps
}

#[test]
fn native_code_is_preferred_and_the_interpreter_never_runs_it() {
    let code = answering(0, &outcome(b"wasm"));
    let hash = code_hash(&code);
    let library = Library::new(interpreter()).with_native(native(hash));
    assert!(library.knows(&hash) && !library.interpreter().knows(&hash));
    assert_eq!(call(&library, &hash).unwrap().unwrap().output, [7; 3]);
    assert_eq!(call(library.interpreter(), &hash), Err(CallFault::CodeNotThere));
    assert_eq!(library.add(&code).unwrap(), hash);
    assert_eq!(call(&library, &hash).unwrap().unwrap().output, [7; 3]);
    assert_eq!(call(library.interpreter(), &hash).unwrap().unwrap().output, b"wasm");
    assert_eq!(library.code(&hash).unwrap()[..], code);
    // Native code stays when the Wasm is gone.
    assert!(library.remove(&hash).unwrap() && !library.remove(&hash).unwrap());
    assert!(library.knows(&hash) && library.code(&hash).is_none());
}

#[test]
fn what_a_call_takes_is_told_of_wasm_and_is_nothing_of_native_code() {
    let code = answering(0, &outcome(b"wasm"));
    let (hash, library) = (code_hash(&code), Library::new(interpreter()));
    let _same = library.add(&code).unwrap();
    let took = |library: &Library| library.call_counted(&hash, &CONTEXT, &[1, 2, 3], &[4]).unwrap().1;
    let first = took(&library);
    assert!(first > 0);
    assert_eq!(took(&library), first, "however often");
    assert_eq!(took(&Library::new(interpreter()).with_native(native(hash))), 0);
}

#[test]
fn native_answers_are_bound_as_those_of_wasm_are() {
    let hash = Hash([3; 32]);
    let library = Library::new(interpreter()).with_native(native(hash));
    // The question and the answer share 65488 bytes: 113 and 4 stand around the input, 39 around the output.
    let of = |bytes: usize| library.init(&hash, &CONTEXT, &vec![1; bytes]).map(|reply| reply.unwrap().output.len());
    let most = (65_488 - 113 - 4 - 39 - 2) / 2;
    assert_eq!(of(most - 8), Ok(most - 8));
    assert_eq!(of(most + 8), Err(CallFault::Failed));
}

#[test]
fn code_for_another_hash_is_refused() {
    let (code, library) = (app(""), Library::new(interpreter()));
    let (expected, got) = (Hash([9; 32]), code_hash(&code));
    let refused = library.add_expected(&expected, &code).unwrap_err();
    assert!(matches!(refused, AddError::Refused(error) if error == AppRefused::OtherCode { expected, got }));
    assert!(library.interpreter().codes().is_empty());
    library.add_expected(&got, &code).unwrap();
    assert!(library.knows(&got));
}

#[test]
fn a_library_is_full_at_its_limit_and_has_room_again_after_a_removal() {
    let library = Library::new(interpreter());
    let code = |number: usize| answering(0, &outcome(&number.to_le_bytes()));
    for number in 0..MAX_APPS {
        let _hash = library.add(&code(number)).unwrap();
    }
    let full = AppRefused::LibraryFull { max: MAX_APPS };
    assert!(matches!(library.add(&code(MAX_APPS)), Err(AddError::Refused(error)) if error == full));
    assert_eq!(library.interpreter().add(&code(MAX_APPS)), Err(full));
    // What is held already still is.
    let first = library.add(&code(0)).unwrap();
    assert!(library.remove(&first).unwrap());
    let _hash = library.add(&code(MAX_APPS)).unwrap();
}

#[test]
fn threads_call_and_add_at_the_same_time() {
    let library = Arc::new(Library::new(interpreter()));
    let code = |number: u8| answering(0, &outcome(&[number; 20]));
    let slow = library.add(&app("(loop $again (br $again))")).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (library, done) = (&library, &done);
        // Somebody is always in an app that takes all its time.
        let _slow = scope.spawn(move || {
            loop {
                assert_eq!(call(&**library, &slow), Err(CallFault::Failed));
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let threads: Vec<_> = (0..4u8)
            .map(|thread| {
                scope.spawn(move || {
                    for round in 0..30u8 {
                        // Each app is added by two threads.
                        let number = round.wrapping_mul(2).wrapping_add(thread % 2);
                        let hash = library.add(&code(number)).unwrap();
                        assert_eq!(call(&**library, &hash).unwrap().unwrap().output, [number; 20]);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(library.interpreter().codes().len(), 61);
}
