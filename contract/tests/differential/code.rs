//! Code that the chain does not take, no peer takes either.

use crate::{Dice, asker, harness};
use devchain::DevChain;
use interpreter::Interpreter;
use proptest::{collection::vec, prelude::*, sample::Index};
use protocol::terms::CallWeight;
use sdk::chain::{Chain, ChainError, Transaction};

/// How many damaged modules are tried.
const DAMAGED: usize = 5_000;

/// What is done to a module: bytes overwritten, a piece left out, a piece put in twice.
#[derive(Clone, Debug)]
enum Damage {
    Overwrite(Vec<(Index, u8)>),
    Cut(Index, Index),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        8 => vec((any::<Index>(), any::<u8>()), 1..4).prop_map(Damage::Overwrite),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Damage::Cut(from, to)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

impl Damage {
    fn done_to(&self, code: &[u8]) -> Vec<u8> {
        let span = |from: &Index, to: &Index| {
            let (from, to) = (from.index(code.len()), to.index(code.len()));
            (from.min(to), from.max(to))
        };
        match self {
            Self::Overwrite(bytes) => {
                let mut code = code.to_vec();
                for (at, byte) in bytes {
                    let at = at.index(code.len());
                    code[at] = *byte;
                }
                code
            }
            Self::Cut(from, to) => {
                let (from, to) = span(from, to);
                [&code[..from], &code[to..]].concat()
            }
            Self::Repeat(from, to) => {
                let (from, to) = span(from, to);
                [&code[..to], &code[from..]].concat()
            }
        }
    }
}

#[tokio::test]
async fn code_that_the_chain_does_not_take_is_refused_off_chain_too() {
    let count = std::env::var("DIFFERENTIAL_CALLS").map_or(DAMAGED, |calls| calls.parse().unwrap());
    let chain = DevChain::new().unwrap();
    let mut dice = Dice::new();
    let (mut both, mut stricter, mut neither) = (0, 0, 0);
    for app in ["counter", "escrow"] {
        let code = harness::built(app);
        let _deployed = asker::instantiate(&chain, code.clone()).await.unwrap();
        for _ in 0..count / 2 {
            let damage = dice.draw(&damage());
            let code = damage.done_to(&code);
            let refused_here = Interpreter::new(CallWeight::STANDARD).add(&code).err();
            let transaction = Transaction::Instantiate { code, value: 0, data: Vec::new(), salt: vec![1] };
            let refused_there = match chain.dry_run(&harness::Actor::Deployer.id(), &transaction).await {
                Err(ChainError::Failed { cause }) => {
                    cause.starts_with("Contracts::CodeRejected") || cause == "Contracts::CodeTooLarge"
                }
                Ok(_) => false,
                Err(error) => panic!("{error}"),
            };
            match (refused_there, &refused_here) {
                (true, Some(_)) => both += 1,
                (false, Some(_)) => stricter += 1,
                (false, None) => neither += 1,
                (true, None) => panic!("the chain refuses {app} after {damage:?}, and the interpreter does not"),
            }
        }
    }
    println!("{both} refused by both, {stricter} by the interpreter alone, {neither} by neither");
    assert!(both > count / 3 && neither > count / 50);
}
