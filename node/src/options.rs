//! The command line: `substrate-contracts-node`'s where both know an option.

use clap::Parser;
use std::{path::PathBuf, time::Duration};

/// What is logged unless asked otherwise: as the official node does, why the contracts pallet refuses something, and what contracts print.
const LOG: &str = "warn,runtime::contracts=debug";

/// A development chain for smart contracts in one process. Prints its address, such as ws://127.0.0.1:39127, as the first line.
#[derive(Parser)]
#[command(name = "channel-dev-node", version)]
pub(crate) struct Options {
    /// Keep the chain in this folder, and go on with the one that is there; without it the chain lives in memory.
    #[arg(long, short = 'd', value_name = "FOLDER", conflicts_with = "tmp")]
    pub(crate) base_path: Option<PathBuf>,

    /// Keep the chain in memory: the default.
    #[arg(long)]
    tmp: bool,

    /// The port of the RPC server on 127.0.0.1; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 9944)]
    pub(crate) rpc_port: u16,

    /// Seconds until a block is final. With --manual-seal, blocks are final only when asked for, unless this is given.
    #[arg(long, value_name = "SECONDS")]
    finalize_delay_sec: Option<u8>,

    /// Make no block by itself: only `engine_createBlock` does.
    #[arg(long)]
    manual_seal: bool,

    /// End when standard input ends, and thus with the process that holds its other end, however that one ends.
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,

    /// What to log: targets with levels, separated by commas; may be given several times.
    #[arg(long, short = 'l', value_name = "TARGET=LEVEL")]
    log: Vec<String>,

    #[command(flatten)]
    _ignored: Ignored,
}

/// Options of the official node that hold anyway, or concern the network, which this node does not have.
#[derive(clap::Args)]
#[command(next_help_heading = "Taken for the official node's sake, without effect")]
struct Ignored {
    #[arg(long, help = "There is no other chain")]
    dev: bool,
    #[arg(long, value_name = "PORT", help = "There is no network")]
    port: Option<u16>,
    #[arg(long, help = "There is none")]
    no_telemetry: bool,
    #[arg(long, help = "There is none")]
    no_prometheus: bool,
    #[arg(long, help = "There is none")]
    no_mdns: bool,
    #[arg(long, help = "There are none")]
    no_hardware_benchmarks: bool,
    #[arg(long, value_name = "SET", help = "All methods are served, on loopback only")]
    rpc_methods: Option<String>,
    #[arg(long, value_name = "ORIGINS", help = "Web sockets are open to every page")]
    rpc_cors: Option<String>,
}

/// When blocks are made and become final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealing {
    /// Whether each transaction makes a block.
    pub(crate) instant: bool,
    /// When a block is final by itself; `None` is never.
    pub(crate) finalize_after: Option<Duration>,
}

impl Options {
    /// When blocks are made and become final.
    pub(crate) fn sealing(&self) -> Sealing {
        let by_itself = (!self.manual_seal).then_some(1);
        let seconds = self.finalize_delay_sec.or(by_itself);
        Sealing {
            instant: !self.manual_seal,
            finalize_after: seconds.map(|seconds| Duration::from_secs(seconds.into())),
        }
    }

    /// The filter of the log.
    pub(crate) fn log_filter(&self) -> String {
        if self.log.is_empty() { LOG.to_owned() } else { self.log.join(",") }
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Sealing};
    use clap::Parser;
    use std::time::Duration;

    fn sealing(arguments: &[&str]) -> Sealing {
        Options::parse_from([&["node"], arguments].concat()).sealing()
    }

    #[test]
    fn blocks_follow_transactions_and_are_final_after_a_second() {
        assert_eq!(sealing(&[]), Sealing { instant: true, finalize_after: Some(Duration::from_secs(1)) });
        assert_eq!(sealing(&["--finalize-delay-sec", "0"]).finalize_after, Some(Duration::ZERO));
    }

    #[test]
    fn sealed_by_hand_nothing_is_final_by_itself_unless_a_delay_is_given() {
        assert_eq!(sealing(&["--manual-seal"]), Sealing { instant: false, finalize_after: None });
        let delayed = sealing(&["--manual-seal", "--finalize-delay-sec", "2"]);
        assert_eq!(delayed, Sealing { instant: false, finalize_after: Some(Duration::from_secs(2)) });
    }

    #[test]
    fn the_official_nodes_command_line_is_understood() {
        let official =
            ["node", "--dev", "--tmp", "--rpc-port", "0", "--port", "30333", "--no-telemetry", "--no-prometheus"];
        assert!(Options::try_parse_from(official).is_ok());
    }
}
