//! Markdown as Signal shows it: plain text, and ranges of it that have a style.

use super::super::html;

/// A text and its styles, as `start:length:STYLE` in UTF-16 units.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Styled {
    pub text: String,
    pub styles: Vec<String>,
}

/// Renders one message. The tags come from our own renderer: they are known, closed and nested.
pub fn styled(markdown: &str) -> Styled {
    let html = html::render(markdown);
    let (mut out, mut units) = (Styled::default(), 0);
    let mut open: Vec<(&str, usize, String)> = Vec::new();
    let mut rest = html.as_str();
    while !rest.is_empty() {
        let at = rest.find('<').unwrap_or(rest.len());
        let (text, after) = rest.split_at(at);
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        units += text.encode_utf16().count();
        out.text.push_str(&text);
        let Some((tag, after)) = after.strip_prefix('<').and_then(|tag| tag.split_once('>')) else { break };
        rest = after;
        match tag.strip_prefix('/') {
            None => {
                let name = tag.split(' ').next().unwrap_or_default();
                let link = tag.strip_prefix("a href=\"").and_then(|link| link.strip_suffix('"')).unwrap_or_default();
                open.push((name, units, link.replace("&quot;", "\"").replace("&amp;", "&")));
            }
            Some(name) => {
                let Some((_, from, link)) = open.pop().filter(|(open, ..)| *open == name) else { continue };
                let style = match name {
                    "b" => "BOLD",
                    "i" => "ITALIC",
                    "s" => "STRIKETHROUGH",
                    "code" | "pre" => "MONOSPACE",
                    "tg-spoiler" => "SPOILER",
                    _ => "",
                };
                let inside = name == "code" && open.last().is_some_and(|(outer, ..)| *outer == "pre");
                if !style.is_empty() && units > from && !inside {
                    out.styles.push(format!("{from}:{}:{style}", units - from));
                }
                // A link says where it goes, unless that is what it says.
                if !link.is_empty() && !out.text.ends_with(&link) {
                    let more = format!(" ({link})");
                    units += more.encode_utf16().count();
                    out.text.push_str(&more);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_count_as_signal_counts() {
        let made = styled("😀 **bold** and `a < b`, *it*");
        assert_eq!(made.text, "😀 bold and a < b, it");
        assert_eq!(made.styles, ["3:4:BOLD", "12:5:MONOSPACE", "19:2:ITALIC"]);
        let made = styled("[here](https://x.org/?a=1&b=2) and [https://y.org](https://y.org)");
        assert_eq!(made.text, "here (https://x.org/?a=1&b=2) and https://y.org");
        let made = styled("```rust\nlet a = 1;\n```\nplain & simple");
        assert_eq!((made.text.as_str(), made.styles.len()), ("let a = 1;\nplain & simple", 1));
        assert_eq!(styled("a ** b").text, "a ** b");
    }
}
