//! What was measured on, as far as it can be asked.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::process::succeeded;

/// The machine and the versions of what ran on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) system: String,
    pub(crate) versions: Vec<String>,
}

impl Machine {
    /// Asks the system. What cannot be asked is left out.
    pub(crate) fn ask(chancery: &Path) -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (processors, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib =
            value(&memory, "MemTotal").and_then(|text| text.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()));
        let commands: [(&str, &[&str]); 7] = [
            ("rabbitmq-server", &["dpkg-query", "-W", "-f", "RabbitMQ ${Version}", "rabbitmq-server"]),
            ("postgres", &["psql", "--version"]),
            ("libxslt", &["dpkg-query", "-W", "-f", "libxslt ${Version}", "libxslt1.1"]),
            ("python", &["/usr/bin/python3", "--version"]),
            ("pika", &["/usr/bin/python3", "-c", "import pika; print('pika', pika.__version__)"]),
            (
                "psycopg2",
                &["/usr/bin/python3", "-c", "import psycopg2; print('psycopg2', psycopg2.__version__.split()[0])"],
            ),
            ("lxml", &["/usr/bin/python3", "-c", "import lxml; print('lxml', lxml.__version__)"]),
        ];
        let mut versions = vec![succeeded(Command::new(chancery).arg("--version"))?.trim().to_owned()];
        for (_, words) in commands {
            if let Ok(said) = succeeded(Command::new(words[0]).args(&words[1..])) {
                versions.push(said.trim().to_owned());
            }
        }
        Ok(Self {
            processor: value(&processors, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gib: kib.unwrap_or(0).div_ceil(1 << 20),
            system: read("/proc/version").split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            versions,
        })
    }
}
