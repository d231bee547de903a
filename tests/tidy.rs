//! The tree itself: who may import whom, how long a file may be, what must not be in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::gateway;
use crate::support::scratch::Scratch;

/// A module may import only from a lower number; equal numbers do not import each other.
const LAYERS: [(&str, u8); 18] = [
    ("wire", 0),
    ("sys", 0),
    ("config", 1),
    ("store", 1),
    ("net", 1),
    ("auth", 2),
    ("providers", 2),
    ("channels", 2),
    ("service", 2),
    ("skills", 2),
    ("hub", 3),
    ("rpc", 4),
    ("agent", 4),
    ("routes", 5),
    ("gateway", 6),
    ("client", 6),
    ("cli", 7),
    ("main", 8),
];

/// A file that passes this is split by duty.
const LONGEST: usize = 600;

/// Files that are one table each and may be as long as the table.
const LONG_TABLES: [&str; 0] = [];

/// The whole top level, beside dotfiles and what a build leaves behind.
const TOP_LEVEL: [&str; 7] = ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "man", "src", "tests"];

/// May stand on the top level, too: it exists as soon as there is something to package.
const PACKAGING: &str = "packaging";

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "common", "helpers", "helper", "types", "misc"];

const RUNTIMES: [&str; 9] =
    ["tokio", "async-std", "smol", "hyper", "futures-executor", "async-executor", "async-io", "actix-rt", "mio"];

#[test]
fn a_module_imports_only_from_a_lower_layer() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let Some(module) = module_of(&file) else { continue };
        let own = layer(&module).unwrap_or_else(|| panic!("{}: no layer is known for {module}", file.display()));
        let depth = file.strip_prefix(root().join("src")).expect("it is below src").components().count()
            - usize::from(file.file_name().is_some_and(|name| name == "mod.rs"));
        for name in imports(&read(&file), depth) {
            if name == module {
                continue;
            }
            if let Some(other) = layer(&name).filter(|other| *other >= own) {
                wrong.push(format!("{}: {module} (layer {own}) uses {name} (layer {other})", shown(&file)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_every_way_to_write_one() {
    let source = "use crate::hub::Event;\nuse crate::{net::h1, wire};\nlet x = crate::agent::run();\n\
        use super::super::cli::Argv; // use crate::comment\n use super::near;\n";
    let names: Vec<String> = imports(source, 2).into_iter().collect();
    assert_eq!(names, ["agent", "cli", "hub", "net", "wire"]);
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let long: Vec<String> = rust_files("src")
        .into_iter()
        .chain(rust_files("tests"))
        .filter(|file| !LONG_TABLES.contains(&shown(file).as_str()))
        .map(|file| (read(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, file)| format!("{}: {lines} lines", shown(&file)))
        .collect();
    assert!(long.is_empty(), "split these by duty:\n{}", long.join("\n"));
}

#[test]
fn no_async_runtime_is_in_the_lock_file() {
    let lock = read(&root().join("Cargo.lock"));
    let found: Vec<&str> =
        RUNTIMES.into_iter().filter(|name| lock.contains(&format!("\nname = \"{name}\"\n"))).collect();
    assert!(found.is_empty(), "Cargo.lock holds {found:?}");
}

#[test]
fn net_never_unwraps() {
    let needle = concat!(".unwrap", "()");
    let mut wrong = Vec::new();
    for file in rust_files("src/net").into_iter().filter(|file| !is_test_file(file)) {
        for (number, line) in product_part(&read(&file)).lines().enumerate().filter(|(_, line)| line.contains(needle)) {
            wrong.push(format!("{}:{}: {}", shown(&file), number + 1, line.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_test_sleeps() {
    let needle = concat!("thread::", "sleep");
    let in_tests = |file: &PathBuf| {
        let text = read(file);
        let product =
            if file.starts_with(root().join("tests")) || is_test_file(file) { "" } else { product_part(&text) };
        text[product.len()..].contains(needle)
    };
    let sleepers: Vec<String> =
        rust_files("src").into_iter().chain(rust_files("tests")).filter(in_tests).map(|file| shown(&file)).collect();
    assert!(sleepers.is_empty(), "wait for a condition with a limit instead: {sleepers:?}");
}

#[test]
fn every_test_file_is_declared() {
    let mut missing = Vec::new();
    for (folder, owner) in [("tests", "main.rs"), ("tests/support", "mod.rs"), ("tests/bench", "main.rs")] {
        let declared = read(&root().join(folder).join(owner));
        for entry in std::fs::read_dir(root().join(folder)).expect("read a test folder") {
            let path = entry.expect("read a test folder's entry").path();
            let stem = path.file_stem().expect("an entry has a name").to_string_lossy().into_owned();
            let is_module = path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with(owner);
            if is_module && !declared.lines().any(|line| line.trim_start_matches("pub ") == format!("mod {stem};")) {
                missing.push(shown(&path));
            }
        }
    }
    assert!(missing.is_empty(), "not declared, so never run: {missing:?}");
}

#[test]
fn the_top_level_is_the_card() {
    let found: BTreeSet<String> = std::fs::read_dir(root())
        .expect("read the top level")
        .map(|entry| entry.expect("read the top level's entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target" && name != PACKAGING)
        .collect();
    let card: BTreeSet<String> = TOP_LEVEL.into_iter().map(str::to_owned).collect();
    assert_eq!(found, card);
}

#[test]
fn unsafe_code_is_forbidden() {
    assert!(read(&root().join("src/lib.rs")).contains("#![forbid(unsafe_code)]"));
    let needles = [concat!("unsafe", " {"), concat!("unsafe", " fn"), concat!("unsafe", " impl")];
    let wrong: Vec<String> = rust_files("src")
        .into_iter()
        .filter(|file| read(file).lines().any(|line| needles.iter().any(|needle| code_of(line).contains(needle))))
        .map(|file| shown(&file))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn names_say_what_is_inside() {
    let wrong: Vec<String> = rust_files("src")
        .into_iter()
        .filter(|file| {
            file.strip_prefix(root()).expect("it is below the root").components().any(|part| {
                let name = part.as_os_str().to_string_lossy();
                EMPTY_NAMES.contains(&name.trim_end_matches(".rs"))
            })
        })
        .map(|file| shown(&file))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<String> = rust_files("src")
        .into_iter()
        .filter(|file| !is_test_file(file) && !read(file).starts_with("//!"))
        .map(|file| shown(&file))
        .collect();
    assert!(silent.is_empty(), "without a module doc: {silent:?}");
}

#[test]
fn the_readme_starts_the_gateway_first_and_the_tests_second() {
    let readme = read(&root().join("README.md"));
    let commands = commands_of(&readme);
    let first = commands.first().expect("the README has a command");
    assert!(first.contains("openclaw") || first.contains("cargo run"), "the first command is {first:?}");
    assert!(first.contains("gateway"), "the first command is {first:?}");
    let second = commands.get(1).expect("the README has a second command");
    assert!(second.contains("cargo test"), "the second command is {second:?}");
}

#[test]
fn the_man_pages_name_every_command_and_flag() {
    let pages = std::fs::read_dir(root().join("man")).expect("man/ is there").map(|entry| read(&entry.unwrap().path()));
    let page = pages.collect::<String>().replace("\\-", "-").replace("Fl Fl ", "--").replace("Fl ", "-");
    let home = Scratch::new();
    let mut missing = Vec::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(command) = open.pop() {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let output = gateway::run(home.path(), &args, &[]);
        assert!(output.status.success(), "openclaw {} fails: {output:?}", args.join(" "));
        let help = String::from_utf8(output.stdout).expect("help is text");
        for word in flags_of(&help) {
            if !page.contains(&word) {
                missing.push(format!("{} {word}", command.join(" ")));
            }
        }
        for name in subcommands_of(&help) {
            if !page.contains(&name) {
                missing.push(format!("{} {name}", command.join(" ")));
            }
            let mut deeper = command.clone();
            deeper.push(name);
            open.push(deeper);
        }
    }
    assert!(missing.is_empty(), "man/ does not name: {missing:#?}");
}

/// Lines of fenced blocks that are commands: not comments, not continuation of one.
fn commands_of(markdown: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            commands.push(line.trim().trim_start_matches("$ ").to_owned());
        }
    }
    commands
}

/// Long flags a help text explains.
fn flags_of(help: &str) -> BTreeSet<String> {
    help.split(|c: char| c.is_whitespace() || "[]()|,=`'\"".contains(c))
        .filter(|word| word.len() > 3 && word.starts_with("--"))
        .map(|word| word.trim_end_matches(['.', ':', ';']).to_owned())
        .collect()
}

/// Names below the `Commands:` heading.
fn subcommands_of(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Top-level modules a source file names: by `crate::`, or by climbing to the root with `super::`.
fn imports(source: &str, depth: usize) -> BTreeSet<String> {
    let code: String = source.lines().map(|line| format!("{}\n", code_of(line))).collect();
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|before: char| before == '$' || before == '_' || before.is_alphanumeric()) {
            continue;
        }
        names.extend(heads(&code[at + "crate::".len()..]));
    }
    let climb = "super::".repeat(depth);
    for (at, _) in code.match_indices(&climb) {
        if !code[..at].ends_with("super::") && !code[at + climb.len()..].starts_with("super::") && depth > 1 {
            names.extend(heads(&code[at + climb.len()..]));
        }
    }
    names.retain(|name| layer(name).is_some());
    names
}

/// The first segment after `crate::`, or of every item of a braced group there.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut names, mut level, mut at_start) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => at_start = true,
            c if at_start && !c.is_whitespace() => {
                names.push(word(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

/// A line without its comment. A `//` inside a string cuts too much, which hides nothing that is an import.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// What stands before the tests of a file.
fn product_part(source: &str) -> &str {
    source.split("#[cfg(test)]").next().unwrap_or_default()
}

fn is_test_file(file: &Path) -> bool {
    let below = file.strip_prefix(root()).expect("it is below the root");
    below.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests.rs" | "tests")))
}

/// The top-level module a source file belongs to; `lib.rs` is the map and belongs to none.
fn module_of(file: &Path) -> Option<String> {
    let below = file.strip_prefix(root().join("src")).expect("it is below src");
    let first = below.components().next()?.as_os_str().to_string_lossy();
    let name = first.trim_end_matches(".rs");
    (name != "lib").then(|| name.to_owned())
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

fn rust_files(below: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display())) {
            let path = entry.expect("read a folder's entry").path();
            if path.is_dir() {
                if !path.ends_with("node_modules") && !path.ends_with(".venv") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).expect("it is below the root").display().to_string()
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}
