//! The manual page of the messengers' sections, made from their rows. Only tests use it: the page in the tree must be what
//! comes out here, and `GOLDEN=write` puts it there.

use super::account::SHARED_KEYS;
use super::{CHANNELS, ChannelSpec};

/// What a person does first, and what a messenger here does not do.
const NOTES: &[(&str, &str)] = &[
    (
        "telegram",
        "Write to @BotFather, send /newbot, and use the token it gives. The gateway asks for news (long polling), or is \
         called when webhookUrl and webhookSecret are set.",
    ),
    (
        "discord",
        "Make an application with a bot in the Developer Portal, switch on Message Content Intent, and invite it with the \
         scopes bot and applications.commands. Servers are listed under guilds by id; a guild lets everybody in it talk, \
         unless it has users or roles; one entry in its channels makes them the list of all that are heard, with \\(dq*\\(dq \
         for the others. A thread has the rules of its channel. Only ids count, never names. Not here: voice, embeds, forms, \
         reactions, posts in forums.",
    ),
    (
        "slack",
        "Make an app with a bot user, install it, and switch on Socket Mode with an app-level token (connections:write); or \
         set mode to http, and let event subscriptions, interactivity and the slash command /openclaw call \
         /channels/slack/<account> here. Scopes: app_mentions:read, channels:history, channels:read, chat:write, commands, \
         files:read, files:write, groups:history, groups:read, im:history, im:read, im:write, mpim:history, users:read. \
         Channels are listed under channels by id. In a thread in which the bot has said something it is meant without its \
         name, until the gateway restarts. Not here: user tokens, Enterprise Grid, native streaming, reactions.",
    ),
    (
        "signal",
        "Signal is spoken by signal-cli, a service of its own: signal-cli -a +15551234567 daemon --http 127.0.0.1:8080. The \
         gateway does not start it. Senders are numbers or uuid:<id>; groups are listed by their id, and in them the bot is to be \
         named, unless requireMention is false or mentionPatterns fit. Not here: the REST \
         interface of the container, a private socket, reactions, stories.",
    ),
    (
        "mattermost",
        "Make a bot account, add it to teams and channels, and use its token. Buttons need interactions.callbackBaseUrl, \
         where the server reaches this gateway. Not here: slash commands of the server, reactions.",
    ),
    (
        "matrix",
        "A user of a homeserver, by token or password. Rooms with encryption are told that they cannot be read. Not here: \
         encryption, receipts.",
    ),
    (
        "irc",
        "A user of a server, with SASL, NickServ or a server password; several networks are several accounts. Who has no \
         account there is known by nick, user and host.",
    ),
    (
        "webhook",
        "For everything else: POST /channels/webhook/<account> in, POST to url out, both signed with HMAC-SHA-256 \
         (X-OpenClaw-Signature: t=<seconds>,v1=<hex of seconds.body>).",
    ),
];

/// The whole page, `openclaw-channels(5)`.
fn page() -> String {
    let mut out = String::from(HEAD);
    for spec in CHANNELS {
        out.push_str(&section(spec));
    }
    out.push_str(".Sh KEYS OF ALL\n.Bl -tag -width Ds\n");
    for (key, doc) in SHARED_KEYS {
        out.push_str(&item(key, doc));
    }
    out.push_str(".El\n");
    out.push_str(TAIL);
    out
}

fn section(spec: &ChannelSpec) -> String {
    let note = NOTES.iter().find(|(id, _)| *id == spec.id).map_or("", |(_, note)| note);
    let mut out = format!(".Ss channels.{}\n{}:\n{}\n", spec.id, spec.label, lines(note));
    if !spec.variables.is_empty() {
        let names = spec.variables.join(", ");
        out.push_str(&format!(".Pp\nVariables for the account default: {}.\n", escaped(&names)));
    }
    out.push_str(&format!(".Pp\nA message has at most {} units of text.\n.Bl -tag -width Ds\n", spec.limit));
    for (key, doc) in spec.keys {
        out.push_str(&item(key, doc));
    }
    out.push_str(".El\n");
    out
}

fn item(key: &str, doc: &str) -> String {
    format!(".It Va {}\n{}\n", escaped(key), lines(doc))
}

/// A sentence a line, as the pages are written.
fn lines(text: &str) -> String {
    escaped(text).replace(". ", ".\n")
}

fn escaped(text: &str) -> String {
    text.replace('-', "\\-").replace('\'', "\\(aq")
}

const HEAD: &str = r#".\" openclaw-channels(5): made from the messengers' rows; a test compares them, GOLDEN=write rewrites this file.
.Dd November 29, 2026
.Dt OPENCLAW-CHANNELS 5
.Os
.Sh NAME
.Nm openclaw-channels
.Nd messengers in the configuration of the openclaw gateway
.Sh DESCRIPTION
Each messenger has a section of its own under
.Va channels
in
.Xr openclaw.json 5 ;
without a section it is not there and costs nothing.
Its keys are those of the account
.Va default ;
.Va channels.<id>.accounts.<name>
adds accounts, and what one does not say it takes from the section above it.
Secrets may be text, references, or in the file that the key with
.Va File
names.
.Pp
Who may write directly says
.Va dmPolicy ;
a stranger gets a code under
.Va pairing ,
and
.Xr openclaw\-pairing 1
lets him in.
In groups nothing is heard that is not listed, and nothing is answered in which
the bot is not named, unless
.Va requireMention
is false.
Ids decide, names never do.
A change of these rules is taken over live; a change of anything else restarts
the account alone.
.Sh MESSENGERS
"#;

const TAIL: &str = r#".Sh SEE ALSO
.Xr openclaw\-channels 1 ,
.Xr openclaw\-message 1 ,
.Xr openclaw\-pairing 1 ,
.Xr openclaw.json 5
"#;

#[test]
fn the_page_says_what_the_rows_say() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("man/openclaw-channels.5");
    for spec in CHANNELS {
        assert!(NOTES.iter().any(|(id, _)| *id == spec.id), "{} has a note", spec.id);
    }
    let page = page();
    if std::env::var("GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &page).expect("written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "man/openclaw-channels.5 is not what the rows say: GOLDEN=write cargo test --lib");
}
