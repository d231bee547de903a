//! A part of the build script: the Control UI's files, compressed once, as a table for the program.
//!
//! Runs on the machine that compiles, with cargo alone: no bundler, no JavaScript runtime. Whole-line comments and
//! indentation stay behind, the rest is what lies in `src/ui`. Only compressed bytes get into the program.
//!
//! Sources keep two habits that make this safe: no text in them spans lines, and a comment after code stays on its line.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use miniz_oxide::deflate::compress_to_vec;

/// Writes the files of the page, compressed, and the table of them, where the program includes them from.
pub fn page() {
    let from = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo names the manifest's folder")).join("src/ui");
    let to = PathBuf::from(env::var("OUT_DIR").expect("cargo names a folder for output"));
    println!("cargo:rerun-if-changed=src/ui");
    println!("cargo:rerun-if-changed=src/routes/ui/pack.rs");
    let mut names = Vec::new();
    list(&from, "", &mut names);
    names.sort();
    let (mut table, mut id) = (String::new(), 0xcbf2_9ce4_8422_2325_u64);
    for name in names {
        println!("cargo:rerun-if-changed=src/ui/{name}");
        let text = fs::read_to_string(from.join(&name)).expect("the files of the page are text");
        let Some(kind) = kind(&name) else { continue };
        let text = lean(&text, &name);
        id = [name.as_bytes(), text.as_bytes()].concat().iter().fold(id, |sum, byte| fold(sum, *byte));
        let file = to.join(format!("{}.gz", name.replace('/', "_")));
        // The page itself is completed at run time.
        let bytes = if name == "index.html" { text.into_bytes() } else { gzip(text.as_bytes()) };
        fs::write(&file, bytes).expect("cargo's folder for output can be written to");
        writeln!(table, "Asset {{ name: {name:?}, kind: {kind:?}, bytes: include_bytes!({file:?}) }},")
            .expect("a String takes everything");
    }
    let source = format!("pub const ID: &str = \"{id:016x}\";\npub static ASSETS: &[Asset] = &[\n{table}];\n");
    fs::write(to.join("ui.rs"), source).expect("cargo's folder for output can be written to");
}

fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder of the page can be read") {
        let entry = entry.expect("an entry of it, too");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => list(&entry.path(), &format!("{name}/"), names),
            false => names.push(name),
        }
    }
}

/// What a file is sent as. Files of other kinds (the type checker's) are not sent.
fn kind(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "svg" => "image/svg+xml",
        "webmanifest" => "application/manifest+json; charset=utf-8",
        _ => return None,
    })
}

/// Without comment lines and indentation.
fn lean(text: &str, name: &str) -> String {
    let (script, style) = (name.ends_with(".js"), name.ends_with(".css"));
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.lines() {
        let mut line = line.trim();
        // A comment may end where code begins: `/** @type {any} */ (node).value = 1;`
        while inside || ((script || style) && line.starts_with("/*")) {
            inside = !line.contains("*/");
            line = line.split_once("*/").map_or("", |(_, code)| code.trim_start());
            if inside {
                break;
            }
        }
        if line.is_empty() || (script && line.starts_with("//")) {
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// RFC 1952, without a name and a time: the same input gives the same bytes.
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    out.extend(compress_to_vec(data, 10));
    let mut crc = !0_u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    out.extend((!crc).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out
}

/// FNV-1a: a name for a content, not a proof of it.
fn fold(sum: u64, byte: u8) -> u64 {
    (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}
