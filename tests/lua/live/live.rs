//! A configuration, its supervisor, and what its functions say.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use neap::Supervisor;
use neap::core::StateName;
use neap::lua::{EvaluateRequest, Evaluated, Listening, Options, Runtime};

use crate::support::{DEADLINE, Epilogue, TempDir};

/// A configuration that runs. Dropped, everything is stopped, and the epilogue looks for what was left behind.
pub struct Live {
    pub supervisor: Supervisor,
    pub runtime: Runtime,
    pub evaluated: Option<Evaluated>,
    listening: Option<Listening>,
    said: Receiver<String>,
    _folder: TempDir,
    _epilogue: Epilogue,
}

impl Live {
    /// Runs this text with the module at hand, from a folder of its own.
    pub fn new(source: &str) -> Live {
        let folder = TempDir::new();
        let source = format!("local neap = require \"neap\" local say = neap.log.info {source}");
        let request = EvaluateRequest::source("test.lua", source, folder.path());
        Live::start(request, folder)
    }

    /// Runs a file, in a folder of its own that its environment names.
    pub fn file(path: &Path, variable: &str) -> Live {
        let folder = TempDir::new();
        let mut request = EvaluateRequest::file(path);
        request.env = std::env::vars().collect();
        request.env.insert(variable.to_owned(), folder.path().display().to_string());
        Live::start(request, folder)
    }

    fn start(request: EvaluateRequest, folder: TempDir) -> Live {
        let epilogue = Epilogue::new();
        let (sender, said) = channel();
        let print = move |line: &str| drop(sender.send(line.to_owned()));
        let runtime = Runtime::start(Options { print: Some(Arc::new(print)), ..Options::default() });
        let evaluated = runtime.evaluate(request).expect("the configuration is accepted");
        let supervisor = Supervisor::builder()
            .base_dir(folder.path())
            .functions(Arc::new(runtime.clone()))
            .build()
            .expect("a supervisor");
        runtime.attach(supervisor.clone());
        let listening = evaluated.generation.listen(&supervisor);
        supervisor.apply(evaluated.declared.plan.clone()).wait().expect("the plan is accepted");
        Live {
            supervisor,
            runtime,
            evaluated: Some(evaluated),
            listening: Some(listening),
            said,
            _folder: folder,
            _epilogue: epilogue,
        }
    }

    /// Waits for the next line that a function says and that begins like this; returns the rest.
    pub fn hears(&self, beginning: &str) -> String {
        let mut others = Vec::new();
        loop {
            match self.said.recv_timeout(DEADLINE) {
                Ok(line) => match line.strip_prefix(beginning) {
                    Some(rest) => return rest.trim_start().to_owned(),
                    None => others.push(line),
                },
                Err(_) => panic!("nobody said `{beginning}…`, but:\n{}", others.join("\n")),
            }
        }
    }

    /// Waits until a process is in this state.
    pub fn reaches(&self, process: &str, state: StateName) {
        let process = self.supervisor.get(process).expect("the process");
        process.wait(state).wait().expect("its state");
    }

    /// Stops everything; fails when something would not go.
    pub fn shut_down(mut self) {
        let shutdown = self.supervisor.shutdown().wait().expect("a shutdown");
        assert!(shutdown.stuck.is_empty(), "{:?}", shutdown.stuck);
        self.let_go();
    }

    fn let_go(&mut self) {
        drop(self.listening.take());
        self.runtime.detach();
        drop(self.evaluated.take());
    }
}
