//! The table of events: who may receive one, whether a slow client may miss it, whether hello-ok names it.
//!
//! From the rows come `features.events`, the scope filter of broadcasts and the drop policy. There is no second list.

use super::scope::{Scope, Scopes};

/// Who receives a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Every connection, nodes included.
    Everyone,
    /// Operators whose scopes allow this.
    Scope(Scope),
    /// Sent to one connection, outside the numbering.
    Direct,
}

/// One row of the table.
#[derive(Debug)]
pub struct EventKind {
    pub name: &'static str,
    pub doc: &'static str,
    pub guard: Guard,
    /// A client that does not keep up loses it (its number still counts); others close that client.
    pub droppable: bool,
    pub advertised: bool,
}

impl EventKind {
    /// Whether a connection with these scopes and this role receives a broadcast of this kind.
    pub fn reaches(&self, operator: bool, scopes: Scopes) -> bool {
        match self.guard {
            Guard::Everyone => true,
            Guard::Scope(scope) => operator && scopes.allows(scope),
            Guard::Direct => false,
        }
    }
}

macro_rules! events {
    ($( $(#[doc = $doc:literal])+ $id:ident = $name:literal: $guard:ident $(($scope:ident))?, $drop:ident, $advertised:ident; )*) => {
        $( $(#[doc = $doc])+ pub static $id: EventKind = EventKind {
            name: $name,
            doc: concat!($($doc),+),
            guard: Guard::$guard $((Scope::$scope))?,
            droppable: events!(@drop $drop),
            advertised: events!(@advertised $advertised),
        }; )*
        /// Every event this gateway emits, in the order hello-ok lists them.
        pub static EVENTS: &[&EventKind] = &[ $( &$id ),* ];
    };
    (@drop droppable) => { true };
    (@drop essential) => { false };
    (@advertised listed) => { true };
    (@advertised unlisted) => { false };
}

events! {
    /// The nonce a client signs, first frame of every connection.
    CONNECT_CHALLENGE = "connect.challenge": Direct, essential, listed;
    /// One step of an agent run: lifecycle, assistant text, tools, usage.
    AGENT = "agent": Scope(Read), droppable, listed;
    /// The state of a chat turn: status, delta, final, aborted, error.
    CHAT = "chat": Scope(Read), essential, listed;
    /// Times of the phases of a `chat.send`, to its sender.
    CHAT_SEND_TIMING = "chat.send_timing": Scope(Read), droppable, unlisted;
    /// A transcript grew.
    SESSION_MESSAGE = "session.message": Scope(Read), essential, listed;
    /// A tool of a run, for those who follow the list of sessions and not this run.
    SESSION_TOOL = "session.tool": Scope(Read), droppable, listed;
    /// A session is summed up, or that has ended.
    SESSION_OPERATION = "session.operation": Scope(Read), essential, listed;
    /// A session row changed.
    SESSIONS_CHANGED = "sessions.changed": Scope(Read), droppable, listed;
    /// An approval of a session waits, or is at its end.
    SESSION_APPROVAL = "session.approval": Scope(Approvals), essential, listed;
    /// A command waits for approval.
    EXEC_APPROVAL_REQUESTED = "exec.approval.requested": Scope(Approvals), essential, listed;
    /// The approval of a command is at its end.
    EXEC_APPROVAL_RESOLVED = "exec.approval.resolved": Scope(Approvals), essential, listed;
    /// Something else than a command waits for approval.
    PLUGIN_APPROVAL_REQUESTED = "plugin.approval.requested": Scope(Approvals), essential, listed;
    /// The approval of something else than a command is at its end.
    PLUGIN_APPROVAL_RESOLVED = "plugin.approval.resolved": Scope(Approvals), essential, listed;
    /// The people at the gateway are asked something.
    QUESTION_REQUESTED = "question.requested": Scope(Questions), essential, listed;
    /// Questions were answered, taken back, or expired.
    QUESTION_RESOLVED = "question.resolved": Scope(Questions), essential, listed;
    /// A run that somebody or a schedule asked for began, or has ended.
    TASK = "task": Scope(Read), droppable, listed;
    /// An agent suggests work, or a suggestion is at its end.
    TASK_SUGGESTION = "task.suggestion": Scope(Read), droppable, listed;
    /// The owner's clients keep something else.
    USERS_PREFS_CHANGED = "users.prefs.changed": Scope(Read), droppable, listed;
    /// Other words wake a microphone; nodes are told as well.
    VOICEWAKE_CHANGED = "voicewake.changed": Scope(Read), droppable, listed;
    /// Another configuration is in force.
    CONFIG_CHANGED = "config.changed": Scope(Read), droppable, unlisted;
    /// A scheduled job changed, began or ended.
    CRON = "cron": Scope(Read), droppable, listed;
    /// What a heartbeat came to.
    HEARTBEAT = "heartbeat": Everyone, droppable, listed;
    /// Who is connected.
    PRESENCE = "presence": Scope(Read), droppable, listed;
    /// A device waits for approval.
    DEVICE_PAIR_REQUESTED = "device.pair.requested": Scope(Pairing), droppable, listed;
    /// A request of a device was decided, or a device was removed.
    DEVICE_PAIR_RESOLVED = "device.pair.resolved": Scope(Pairing), droppable, listed;
    /// An invitation was taken up, and its tokens went out.
    DEVICE_PAIR_SETUP_COMPLETED = "device.pair.setup.completed": Scope(Pairing), droppable, listed;
    /// A paired device changed: its name, its tokens.
    DEVICE_PAIR_CHANGED = "device.pair.changed": Scope(Pairing), droppable, listed;
    /// What a node offers waits for approval.
    NODE_PAIR_REQUESTED = "node.pair.requested": Scope(Pairing), droppable, listed;
    /// What a node offers was approved or rejected, or the node was removed; the node is told as well.
    NODE_PAIR_RESOLVED = "node.pair.resolved": Scope(Pairing), droppable, listed;
    /// How the host of a node is doing.
    NODE_HOST_STATS = "node.hostStats": Scope(Read), droppable, listed;
    /// A node is asked for something.
    NODE_INVOKE_REQUEST = "node.invoke.request": Direct, essential, unlisted;
    /// A node need not answer any more.
    NODE_INVOKE_CANCEL = "node.invoke.cancel": Direct, essential, unlisted;
    /// The gateway is alive.
    TICK = "tick": Everyone, droppable, listed;
    /// The gateway stops or restarts.
    SHUTDOWN = "shutdown": Everyone, essential, listed;
    /// Whether the gateway takes work, or is held still for its host.
    GATEWAY_SUSPENSION = "gateway.suspension": Everyone, essential, listed;
    /// Whether the gateway is well.
    HEALTH = "health": Everyone, droppable, listed;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_documented() {
        let mut names: Vec<_> = EVENTS.iter().map(|e| e.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|w| w[0] != w[1]));
        assert!(EVENTS.iter().all(|e| e.doc.trim().ends_with('.')));
    }

    #[test]
    fn guards_follow_roles_and_scopes() {
        let read = Scopes::of(&[Scope::Read]);
        assert!(AGENT.reaches(true, read) && !AGENT.reaches(true, Scopes::NONE));
        assert!(!AGENT.reaches(false, Scopes::operator_default()), "a node never sees operator events");
        assert!(TICK.reaches(false, Scopes::NONE));
        assert!(!CONNECT_CHALLENGE.reaches(true, Scopes::operator_default()));
    }
}
