//! The fired faults as a table.

use brevet_engine::fake::Fault;

use crate::single::Table;

/// One line a port call, one column a kind of fault.
#[must_use]
pub fn lines(table: &Table) -> Vec<String> {
    let names: Vec<&str> = {
        let mut names: Vec<_> = Fault::ALL.into_iter().chain(Fault::LATE).map(Fault::name).collect();
        names.dedup();
        names
    };
    let width = |name: &str| name.len().max(6);
    let head: Vec<_> = names.iter().map(|name| format!("{name:>0$}", width(name))).collect();
    let mut lines = vec![format!("{:<14} {}", "port call", head.join("  "))];
    for (call, by_fault) in table {
        let cell = |name: &&str| match by_fault.get(*name) {
            Some(n) => format!("{n:>0$}", width(name)),
            // The call does not allow this fault.
            None => format!("{:>1$}", "-", width(name)),
        };
        let cells: Vec<_> = names.iter().map(cell).collect();
        lines.push(format!("{call:<14} {}", cells.join("  ")));
    }
    lines
}
