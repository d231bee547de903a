//! `openclaw protocol coverage`: what of the reference's protocol is here. From the program's own table; asks nobody.

use super::args::ProtocolCoverage;
use super::failure::Failure;
use super::output::{Shell, table};
use crate::rpc::absent::{self, Coverage};
use crate::wire::tree::json;

/// Prints a row for every method of the reference, and the sums.
pub fn coverage(shell: &mut Shell, args: &ProtocolCoverage) -> Result<(), Failure> {
    let (mut counts, mut rows) = ([0usize; 3], Vec::new());
    for (name, scope, coverage) in absent::coverage() {
        let (at, word, note) = match coverage {
            Coverage::Built => (0, "built", ""),
            Coverage::Partial(lack) => (1, "partial", lack),
            Coverage::Absent(reason) => (2, "absent", reason),
        };
        counts[at] += 1;
        if !args.lacking || coverage != Coverage::Built {
            rows.push([name, word, scope, note]);
        }
    }
    let [built, partial, absent] = counts;
    if args.json {
        let row = |[method, state, scope, note]: [&str; 4]| {
            let note = Some(note).filter(|note| !note.is_empty());
            json!({ "method": method, "state": state, "scope": scope, "note": note })
        };
        let methods: Vec<_> = rows.into_iter().map(row).collect();
        return shell.json(&json!({ "built": built, "partial": partial, "absent": absent, "methods": methods }));
    }
    let cells: Vec<Vec<String>> =
        rows.iter().map(|[name, word, _, note]| [name, word, note].map(|cell| (*cell).to_owned()).to_vec()).collect();
    for line in table(&["Method", "State", "Note"], &cells) {
        shell.line(line)?;
    }
    shell.line(format!(
        "{built} built, {partial} in part, {absent} absent of the reference's {}",
        built + partial + absent
    ))
}
