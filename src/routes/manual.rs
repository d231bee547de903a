//! The manual page of the protocol, made from the tables of methods, events and routes. Only tests use it: the page in
//! the tree must be what comes out here, and `GOLDEN=write` puts it there.

use std::fmt::Write as _;

use super::Auth;
use super::table::ROUTES;
use crate::rpc::METHODS;
use crate::rpc::table::Need;
use crate::wire::event::{EVENTS, Guard};
use crate::wire::scope::NAMES;

/// The whole page, `openclaw-protocol(7)`.
fn page() -> String {
    let mut out = String::from(HEAD);
    for (_, name) in NAMES {
        let _ = writeln!(out, ".It\n.Cm {name}"); // writing to a String cannot fail
    }
    out.push_str(".El\n.Sh METHODS\n");
    out.push_str(METHODS_ARE);
    for method in METHODS {
        let need = match method.need {
            Need::Any => "anybody",
            Need::Scope(scope) => scope.name(),
            _ => "by params",
        };
        let (params, result) = (method.shape)();
        let limited = if method.write { "; at most 30 calls in 60 s" } else { "" };
        let _ = write!(out, ".It Cm {} Pq {need}\n{}\n.br\n", escaped(method.name), escaped(method.doc.trim()));
        let answer = if result.is_empty() { String::new() } else { format!(" \\(-> {}", shape(result)) };
        let _ = writeln!(out, "{}{answer}{limited}", shape(params));
    }
    out.push_str(".El\n.Sh EVENTS\n");
    out.push_str(EVENTS_ARE);
    for event in EVENTS {
        let who = match event.guard {
            Guard::Everyone => "everybody",
            Guard::Direct => "one connection",
            Guard::Scope(scope) => scope.name(),
        };
        let lossy = if event.droppable { "; a slow client may miss it" } else { "" };
        let _ = write!(out, ".It Cm {} Pq {who}{lossy}\n{}\n", escaped(event.name), escaped(event.doc.trim()));
    }
    out.push_str(".El\n.Sh HTTP\n");
    out.push_str(ROUTES_ARE);
    for route in ROUTES {
        let who = match route.auth {
            Auth::Open => "open".to_owned(),
            Auth::Needs(scope) => scope.name().to_owned(),
            _ => "shared secret".to_owned(),
        };
        let body = match route.limit {
            0 => String::new(),
            bytes => format!(", a body of at most {} KiB", bytes >> 10),
        };
        let _ = writeln!(out, ".It {} Cm {}\n{who}{body}", route.method.as_str(), escaped(route.pattern));
    }
    out.push_str(TAIL);
    out
}

/// The name in the published schema; ours where a method has none.
fn shape(name: &'static str) -> &'static str {
    name.rsplit("::").next().unwrap_or(name).trim_end_matches('>')
}

/// What roff would take for a command of its own. Backquotes are Markdown's.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('`', "").replace('"', "\\(dq")
}

#[test]
fn the_page_of_the_protocol_is_what_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/openclaw-protocol.7");
    if std::env::var("GOLDEN").is_ok_and(|word| word == "write") {
        std::fs::write(path, page()).expect("written");
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == page(), "man/openclaw-protocol.7 is not what the tables say; GOLDEN=write makes it");
}

const HEAD: &str = r#".\" openclaw-protocol(7): made from the tables of the program; a test compares them, GOLDEN=write rewrites this file.
.Dd November 25, 2026
.Dt OPENCLAW-PROTOCOL 7
.Os
.Sh NAME
.Nm openclaw\-protocol
.Nd control protocol of the openclaw gateway, version 4
.Sh DESCRIPTION
A client opens a WebSocket on the gateway's port, at any path that is no HTTP
route, and exchanges JSON objects, one in each text message.
Their
.Va type
is
.Cm req
(from the client:
.Va id , method , params ) ,
.Cm res
(the answer to one
.Va id :
.Va ok
with
.Va payload
or
.Va error )
or
.Cm event
(from the gateway:
.Va event , payload ,
and
.Va seq ,
which counts without a gap what this connection was meant to get).
.Pp
The gateway speaks first: the event
.Cm connect.challenge
with a nonce.
The client's first request must be
.Cm connect ;
it names the protocol versions it speaks, itself, its role
.Po Cm operator
or
.Cm node Pc ,
the scopes it wants and its credential: a shared token or password, or the
signature of a paired device over the nonce.
The answer is
.Cm hello\-ok
with the version agreed on, the methods and events on offer, a snapshot of the
gateway's state and the limits that hold.
A client that is not admitted in time is disconnected.
.Pp
Events are not repeated.
After a gap in
.Va seq
a client reads the state anew.
A method that starts work answers twice under one
.Va id :
first that it is accepted, which it says only when nothing can get lost any
more, and then with the end.
.Pp
A message larger than
.Va policy.maxPayload
of hello\-ok closes the connection, as does leaving more than
.Va policy.maxBufferedBytes
unread, except for events marked below.
.Ss Errors
An error has
.Va code , message ,
sometimes
.Va details
for programs, and
.Va retryable
with
.Va retryAfterMs
where trying again helps.
.Bl -tag -width Ds
.It Cm INVALID_REQUEST
The request is wrong, or the method is not there.
.It Cm NOT_PAIRED
The device must be approved first.
.It Cm FORBIDDEN
A scope is missing;
.Va details.missingScope
names it.
.It Cm UNAVAILABLE
Not now, or not here.
.It Cm APPROVAL_NOT_FOUND
Nobody waits for this approval any more.
.El
.Ss Close codes
1000 when the client was not admitted in time, 1002 for a frame against the
protocol, 1007 for text that is not UTF\-8, 1008 for what the gateway will not
have (the reason says what), 1009 for a message that is too large, 1011 for a
failure of the gateway, 1012 when it stops or restarts.
.Ss Scopes
.Cm operator.admin
includes all others;
.Cm operator.write
includes
.Cm operator.read .
.Pp
.Bl -item -compact
"#;

const METHODS_ARE: &str = "\
What a caller needs is in parentheses; the second line names params and result as the published schema does.
.Bl -tag -width Ds
";

const EVENTS_ARE: &str = "\
In parentheses: who gets it.
.Bl -tag -width Ds
";

const ROUTES_ARE: &str = "\
The same port answers HTTP.
An open route is for everybody; the others want the shared secret as a bearer token.
.Bl -tag -width Ds
";

const TAIL: &str = r#".El
.Ss Headers
Of requests to the OpenAI\-compatible routes:
.Bl -tag -width Ds
.It Cm x\-openclaw\-agent\-id
The agent, where the model does not name one.
.It Cm x\-openclaw\-model
For owners: the model behind the agent, as
.Ar provider/model .
.It Cm x\-openclaw\-session\-key
The session that remembers this conversation; names that the gateway uses
itself are refused.
.It Cm x\-openclaw\-message\-channel
The messenger that the client stands for; the agent is told.
.It Cm x\-openclaw\-scopes
Fewer scopes than the secret allows.
.El
.Sh SEE ALSO
.Xr openclaw 1 ,
.Xr openclaw\-gateway 1 ,
.Xr openclaw.json 5
"#;
