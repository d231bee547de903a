//! Markdown, as models write it, as the HTML messengers take: few tags, always closed, everything else escaped.
//!
//! What is no complete mark-up stays as it was written. Whatever the text, the result is well formed: tags are made in
//! pairs around text that was rendered already.

/// Renders one message.
pub fn render(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len() + 64);
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let mut code = String::new();
            for line in lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")) {
                code.push_str(line);
                code.push('\n');
            }
            let language = info.split_whitespace().next().unwrap_or_default();
            let known =
                !language.is_empty() && language.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-#_".contains(&b));
            let code = escape(code.trim_end_matches('\n'));
            match known {
                true => out.push_str(&format!("<pre><code class=\"language-{language}\">{code}</code></pre>\n")),
                false => out.push_str(&format!("<pre>{code}</pre>\n")),
            }
            continue;
        }
        if quoted(line).is_some() {
            let mut quote = inline(quoted(line).unwrap_or_default(), DEPTH);
            while let Some(next) = lines.peek().and_then(|next| quoted(next)) {
                quote.push('\n');
                quote.push_str(&inline(next, DEPTH));
                lines.next();
            }
            out.push_str(&format!("<blockquote>{quote}</blockquote>\n"));
            continue;
        }
        out.push_str(&block(line));
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

fn quoted(line: &str) -> Option<&str> {
    line.strip_prefix('>').map(|rest| rest.strip_prefix(' ').unwrap_or(rest))
}

/// A line that is no code and no quotation.
fn block(line: &str) -> String {
    let text = line.trim_start();
    let indent = &line[..line.len() - text.len()];
    let hashes = text.bytes().take_while(|byte| *byte == b'#').count();
    if (1..=6).contains(&hashes) && text[hashes..].starts_with(' ') {
        return format!("<b>{}</b>", inline(text[hashes..].trim(), DEPTH));
    }
    for mark in ["- ", "* ", "+ "] {
        if let Some(item) = text.strip_prefix(mark) {
            return format!("{indent}• {}", inline(item, DEPTH));
        }
    }
    format!("{indent}{}", inline(text, DEPTH))
}

/// Marks inside marks; deeper ones stay as written.
const DEPTH: u8 = 6;

/// Marks in pairs, longest first, and their tags.
const PAIRS: &[(&str, &str)] = &[("**", "b"), ("__", "b"), ("~~", "s"), ("||", "tg-spoiler"), ("*", "i"), ("_", "i")];

fn inline(text: &str, depth: u8) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let before = text[..at].chars().next_back();
        if let Some((html, used)) = code(rest).or_else(|| link(rest, depth)).or_else(|| pair(rest, before, depth)) {
            out.push_str(&html);
            at += used;
            continue;
        }
        let c = rest.chars().next().unwrap_or_default();
        // A backslash before a mark takes its meaning away.
        if c == '\\'
            && let Some(next) = rest[1..].chars().next().filter(|next| next.is_ascii_punctuation())
        {
            out.push_str(&escape(next.encode_utf8(&mut [0; 4])));
            at += 1 + next.len_utf8();
            continue;
        }
        out.push_str(&escape(c.encode_utf8(&mut [0; 4])));
        at += c.len_utf8();
    }
    out
}

fn code(rest: &str) -> Option<(String, usize)> {
    let ticks = rest.bytes().take_while(|byte| *byte == b'`').count();
    if ticks == 0 {
        return None;
    }
    let mark = &rest[..ticks];
    let inner = &rest[ticks..];
    let end = inner.find(mark).filter(|end| *end > 0)?;
    Some((format!("<code>{}</code>", escape(inner[..end].trim())), ticks * 2 + end))
}

fn link(rest: &str, depth: u8) -> Option<(String, usize)> {
    let inner = rest.strip_prefix('[')?;
    let close = inner.find("](")?;
    let label = &inner[..close];
    let target = &inner[close + 2..];
    let end = target.find(')')?;
    let url = target[..end].trim();
    let known = ["https://", "http://", "tg://", "mailto:"].iter().any(|scheme| url.starts_with(scheme));
    if !known || label.contains(['[', '\n']) || url.contains(char::is_whitespace) || depth == 0 {
        return None;
    }
    let label = inline(label, 0);
    Some((format!("<a href=\"{}\">{label}</a>", escape(url).replace('"', "&quot;")), 1 + close + 2 + end + 1))
}

fn pair(rest: &str, before: Option<char>, depth: u8) -> Option<(String, usize)> {
    if depth == 0 {
        return None;
    }
    let (mark, tag) = PAIRS.iter().find(|(mark, _)| rest.starts_with(mark))?;
    let inner = &rest[mark.len()..];
    // snake_case and 2 * 3 * 4 are no emphasis.
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    if mark.starts_with('_') && word(before) || inner.starts_with(char::is_whitespace) {
        return None;
    }
    let mut from = 0;
    loop {
        let end = from + inner[from..].find(mark)?;
        let text = &inner[..end];
        let after = inner[end + mark.len()..].chars().next();
        let longer = mark.len() == 1 && (after == mark.chars().next() || text.ends_with(mark));
        if text.is_empty() || text.ends_with(char::is_whitespace) || longer || mark.starts_with('_') && word(after) {
            from = end + mark.len();
            if longer && after == mark.chars().next() {
                from += mark.len();
            }
            if from >= inner.len() {
                return None;
            }
            continue;
        }
        return Some((format!("<{tag}>{}</{tag}>", inline(text, depth - 1)), mark.len() * 2 + end));
    }
}

/// The three characters that mean something.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_tags() {
        for (markdown, html) in [
            ("**bold** and *it* and `a<b`", "<b>bold</b> and <i>it</i> and <code>a&lt;b</code>"),
            ("# Title\n- one\n  * two", "<b>Title</b>\n• one\n  • two"),
            ("[x & y](https://a.b/?c=\"d\"&e)", "<a href=\"https://a.b/?c=&quot;d&quot;&amp;e\">x &amp; y</a>"),
            (
                "```rust\nlet a = b && c;\n```",
                "<pre><code class=\"language-rust\">let a = b &amp;&amp; c;</code></pre>",
            ),
            ("> said\n> again\nno", "<blockquote>said\nagain</blockquote>\nno"),
            ("**a *b* c**", "<b>a <i>b</i> c</b>"),
            ("~~gone~~ ||secret||", "<s>gone</s> <tg-spoiler>secret</tg-spoiler>"),
        ] {
            assert_eq!(render(markdown), html);
        }
    }

    #[test]
    fn what_is_no_mark_stays() {
        for (text, html) in [
            ("snake_case_name", "snake_case_name"),
            ("2 * 3 * 4", "2 * 3 * 4"),
            ("**open", "**open"),
            ("<b>&", "&lt;b&gt;&amp;"),
            ("[a](javascript:x)", "[a](javascript:x)"),
            ("\\*plain\\*", "*plain*"),
            ("```\nnever closed", "<pre>never closed</pre>"),
            ("a ` b", "a ` b"),
        ] {
            assert_eq!(render(text), html);
        }
    }

    #[test]
    fn whatever_the_text_tags_are_closed_in_order() {
        let mut seed = 11_u64;
        for _ in 0..2000 {
            let mut text = String::new();
            for _ in 0..60 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let pieces =
                    ["*", "_", "`", "```", "~~", "||", "[", "](", ")", "http://a", "<", "&", "\n", "> ", "a", " ", "é"];
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let html = render(&text);
            let mut open = Vec::new();
            let mut rest = html.as_str();
            while let Some(at) = rest.find('<') {
                let end = at + rest[at..].find('>').unwrap_or_else(|| panic!("{html}"));
                let tag = &rest[at + 1..end];
                match tag.strip_prefix('/') {
                    Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "{text:?}\n{html}"),
                    None => open.push(tag.split(' ').next().unwrap_or_default().to_owned()),
                }
                rest = &rest[end + 1..];
            }
            assert!(open.is_empty(), "{text:?}\n{html}");
        }
    }
}
