//! What a model is told of skills, and which ones a message calls for.

use super::Skill;

/// Characters of the list in a prompt, and skills in it, unless the configuration says otherwise.
pub(super) const CHARS: usize = 18_000;
pub(super) const SKILLS: usize = 150;

/// Words of a message that are looked up.
const WORDS: usize = 64;

const INTRO: &str = "## Skills\nThese are instructions somebody wrote for certain kinds of work. When one fits what you \
are asked to do, read its file with your file tool before you begin, and follow it; paths in it are relative to the \
folder the file is in. When none fits, read none.";
const SHORTENED: &str = "Not everything fits here: `openclaw skills check` shows all skills.";

/// The section of a system prompt, with at most `most` skills and about `chars` characters of list. Names go before
/// descriptions when there is no room for both.
pub(super) fn block(skills: &[&Skill], most: usize, chars: usize) -> Option<String> {
    let skills = &skills[..skills.len().min(most)];
    if skills.is_empty() {
        return None;
    }
    let bare: Vec<String> = skills.iter().map(|skill| entry(skill, "")).collect();
    let mut used = 0;
    let fit = bare.iter().take_while(|row| {
        used += row.len();
        used <= chars
    });
    let fit = fit.count();
    let names: usize = bare[..fit].iter().map(String::len).sum();
    let whole: Vec<String> = skills[..fit].iter().map(|skill| entry(skill, &skill.head.description)).collect();
    // One share for each description; what is left over of short ones is not handed on.
    let share = (chars - names) / fit.max(1);
    let short = whole.iter().map(String::len).sum::<usize>() > chars;
    let rows: Vec<String> = match short {
        false => whole,
        true => skills[..fit].iter().map(|skill| entry(skill, cut(&skill.head.description, share))).collect(),
    };
    let note = if short || fit < bare.len() { format!("\n{SHORTENED}") } else { String::new() };
    Some(format!("{INTRO}{note}\n<available_skills>\n{}</available_skills>", rows.concat()))
}

fn entry(skill: &Skill, description: &str) -> String {
    let mut row = format!("  <skill>\n    <name>{}</name>\n", escaped(&skill.head.name));
    if !description.is_empty() {
        row.push_str(&format!("    <description>{}</description>\n", escaped(description)));
    }
    row.push_str(&format!("    <location>{}</location>\n  </skill>\n", escaped(&skill.file().display().to_string())));
    row
}

/// As much of a description as leaves its tags within `room` bytes.
fn cut(text: &str, room: usize) -> &str {
    let room = room.saturating_sub(40);
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += if ['&', '<', '>', '"', '\''].contains(c) { 6 } else { c.len_utf8() };
        used > room
    });
    end.map_or(text, |(at, _)| text[..at].trim_end())
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// What a run is told about the skills its sender called for.
pub fn called_for(skills: &[&Skill]) -> Option<String> {
    let rows: Vec<String> =
        skills.iter().map(|skill| format!("- {}: {}", skill.head.name, skill.file().display())).collect();
    (!rows.is_empty()).then(|| {
        format!("## Skills asked for\nThe sender asks for these. Read each file before you act:\n{}", rows.join("\n"))
    })
}

/// The words of a message that may be names of skills: `/word` at its beginning, `$word` anywhere but behind a backslash.
/// `$HOME` and its like are variables: a word in capitals is none of ours.
pub(super) fn called(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut words: Vec<String> = Vec::new();
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('/') {
        let word = rest.split(char::is_whitespace).next().unwrap_or("");
        words.push(word.to_lowercase());
    }
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if c == '$' && before != '\\' && !is_word(before) && before != '$' {
            let rest = &text[at + 1..];
            let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
            let shell = word.chars().all(|c| !c.is_lowercase());
            if !shell && words.len() < WORDS && !words.iter().any(|other| other == word) {
                words.push(word.to_owned());
            }
        }
        before = c;
    }
    words
}
