//! A real node with the arbiter on it, and programs that end with their test, however that one ends.

use e2e_tests::{LIMITS, NodeChain, TestChain, arbiter_code, signer, within};
use sdk::chain::{
    Arbiter,
    deploy::{Deployed, Deployment, ensure},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

pub(crate) const OPEN_AND_PAY: &str = env!("CARGO_BIN_EXE_open_and_pay");
pub(crate) const ACCEPT_PAYMENTS: &str = env!("CARGO_BIN_EXE_accept_payments");
pub(crate) const REACT_TO_DISPUTE: &str = env!("CARGO_BIN_EXE_react_to_dispute");

/// Where the programs play.
pub(crate) struct Stage {
    pub(crate) chain: NodeChain,
    pub(crate) arbiter: Arbiter,
    directory: TempDir,
}

impl Stage {
    /// A node with the arbiter on it, and a deployment file; none where no node is configured.
    pub(crate) async fn build() -> Option<Self> {
        let chain = NodeChain::start().await?;
        let deployer = signer("hub");
        let deploying = ensure(chain.client(), &deployer, arbiter_code(), LIMITS, Vec::new());
        let Deployed { arbiter, receipt } = within("the arbiter's deployment", deploying).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let info = *arbiter.info();
        let deployment = Deployment {
            endpoints: vec![chain.url()],
            genesis: info.domain.genesis,
            arbiter: info.domain.arbiter,
            code_hash: info.code_hash,
            block: receipt.unwrap().block.number,
        };
        deployment.save(&directory.path().join("deployment.json")).unwrap();
        Some(Self { chain, arbiter, directory })
    }

    /// The deployment file.
    pub(crate) fn deployment(&self) -> PathBuf {
        self.directory.path().join("deployment.json")
    }

    /// The folder of somebody's node.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a program for the account and in the folder `name`, with its secret in a file.
    pub(crate) fn start(&self, program: &str, name: &str, arguments: &[&str]) -> Program {
        let secret = self.folder(&format!("{name}.suri"));
        fs::write(&secret, format!("//{name}\n")).unwrap();
        fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
        let mut command = self.command(program, name, arguments);
        Program::spawn(command.arg("--suri-file").arg(secret))
    }

    /// As [`start`](Self::start), with the secret in the environment.
    pub(crate) fn start_with_environment(&self, program: &str, name: &str, arguments: &[&str]) -> Program {
        Program::spawn(self.command(program, name, arguments).env("CHANNEL_SURI", format!("//{name}")))
    }

    pub(crate) fn command(&self, program: &str, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let _command = command
            .args(["--instant-seal", "--until-stdin-closes", "--deployment"])
            .arg(self.deployment())
            .arg("--folder")
            .arg(self.folder(name))
            .args(arguments);
        command
    }
}

/// A program that runs. Killed when dropped; its input ends with this process, and it with that.
pub(crate) struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it has printed, as far as it was read.
    pub(crate) said: Vec<String>,
}

impl Program {
    fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, said: Vec::new() }
    }

    /// What follows `words` in the next line that has them.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        loop {
            let line = within(words, self.lines.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended without saying {words:?}, after {:#?}", self.said));
            self.said.push(line.clone());
            if let Some((_, rest)) = line.split_once(words) {
                return rest.to_owned();
            }
        }
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) -> Vec<String> {
        self.child.kill().await.unwrap();
        self.end().await.1
    }

    /// Asks it to stop, as a service's supervisor does.
    pub(crate) async fn terminate(self) -> (ExitStatus, Vec<String>) {
        let kill = format!("kill -TERM {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
        self.end().await
    }

    /// Ends its input.
    pub(crate) async fn close_input(mut self) -> (ExitStatus, Vec<String>) {
        drop(self.child.stdin.take());
        self.end().await
    }

    /// Waits for its end: how it ended, and all that it has said.
    pub(crate) async fn end(mut self) -> (ExitStatus, Vec<String>) {
        while let Some(line) = within("its last words", self.lines.next_line()).await.unwrap() {
            self.said.push(line);
        }
        (self.wait().await, self.said)
    }

    async fn wait(&mut self) -> ExitStatus {
        // Not `wait`, which would end its input first.
        let input = self.child.stdin.take();
        let status = within("its end", self.child.wait()).await.unwrap();
        drop(input);
        status
    }
}
