//! Methods of the reference that this gateway lacks, with the reason, and those it has in part. Tests hold these lists and
//! the table against the reference's: nothing is missing in silence. `openclaw protocol coverage` prints them.

use super::table::find;

/// Name, scope and release of the reference's methods (2026.9.6).
pub const REFERENCE: &str = include_str!("reference.tsv");

/// What is missing of a method that is here.
pub const PARTIAL: &[(&str, &str)] = &[
    (
        "agent",
        "A run has no lane of its own, and nothing depends on where it says that it comes from (`lane`, `group*`, \
         `inputProvenance`, `voiceWakeTrigger`, `bootstrapContextRunKind`); MCP servers, which \
         `cleanupBundleMcpOnRunEnd` is about, are not here.",
    ),
    ("chat.abort", "There are no side runs (`preserveSideRuns`)."),
    (
        "chat.send",
        "Session goals (`intent`) and `toolBindings` are refused; models have no fast tier (`fastMode`); where a \
         message says that it comes from is not kept (`system*`).",
    ),
    ("commands.list", "Every command is text and native, in every messenger (`scope`, `provider`)."),
    (
        "config.apply",
        "What a restart that follows should say to a session, and when it comes (`sessionKey`, `note`, \
         `deliveryContext`, `restartDelayMs`): it comes at once and says nothing.",
    ),
    ("config.patch", "As `config.apply`."),
    ("exec.approval.request", "Spans of a command are not marked."),
    (
        "exec.approval.resolve",
        "A grant has no end: `grantExpiresInDays` with allow-always is refused. Who decided in a messenger is not noted.",
    ),
    ("message.action", "Only `send`; in which turn it was asked for is not looked at."),
    ("models.authStatus", "All agents share the credentials, which are always looked at anew (`agentId`, `refresh`)."),
    ("models.list", "There is nothing beside the rows (`includeDetails`, `includeProviderCapabilities`)."),
    ("plugin.approval.request", "As `exec.approval.request`."),
    ("plugin.approval.resolve", "As `exec.approval.resolve`."),
    ("question.request", "Questions do not outlive the gateway."),
    ("question.resolve", "`resolvedBy` is not kept."),
    ("secrets.store.set", "`allowedHosts` is refused: secrets are not handed to commands that could be kept to them."),
    ("send", "A file is sent with `message.action`; for which agent or session it is sent is not noted."),
    ("sessions.abort", "What waits is stopped too, whatever `clearQueued` says."),
    ("sessions.create", "There are no plugins' hooks to tell (`emitCommandHooks`, `succeedsParent`)."),
    ("sessions.delete", "There are no plugins' hooks to tell (`emitLifecycleHooks`)."),
    ("sessions.list", "One person owns every session (`ownerFirst`, `includePeople`)."),
    (
        "sessions.resolve",
        "Sessions called `global` or `unknown` are like all others (`includeGlobal`, `includeUnknown`).",
    ),
    ("sessions.usage", "Tokens are counted by key: a reset does not part them."),
    ("taskSuggestions.accept", "Only `local`: there are no cloud workers (`cloudProfileId`)."),
    ("taskSuggestions.dismiss", "`reason` is not kept."),
    ("tasks.cancel", "`reason` goes into the log."),
    ("tools.invoke", "Approvals decide what must be confirmed (`confirm`)."),
    ("update.status", "The host's package manager knows of releases, not the gateway."),
    ("usage.status", "Quotas of subscriptions are not known."),
];

/// How much of a method of the reference is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    Built,
    Partial(&'static str),
    Absent(&'static str),
}

/// The methods of the reference in their order, with what they need there.
pub fn coverage() -> impl Iterator<Item = (&'static str, &'static str, Coverage)> {
    REFERENCE.lines().skip(1).filter_map(|line| {
        let mut columns = line.split('\t');
        let (name, scope) = (columns.next()?, columns.next()?);
        Some((name, scope, covered(name)))
    })
}

fn covered(name: &str) -> Coverage {
    if find(name).is_some() {
        let partial = PARTIAL.iter().find(|(known, _)| *known == name);
        return partial.map_or(Coverage::Built, |(_, lack)| Coverage::Partial(lack));
    }
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    };
    // A name says more than a pattern.
    let whole = ABSENT.iter().find(|(pattern, _)| *pattern == name);
    let reason = whole.or(ABSENT.iter().find(|(pattern, _)| fits(pattern)));
    Coverage::Absent(reason.map_or("", |(_, reason)| reason))
}

/// A name, or a prefix with `*`, and why it is absent. A row of the table wins over a pattern.
pub const ABSENT: &[(&str, &str)] = &[
    ("artifacts.*", "Belongs to the larger product of the reference."),
    ("assistant.*", "Belongs to the larger product of the reference."),
    ("attach.*", "Belongs to the larger product of the reference."),
    ("audit.*", "There is no audit trail beyond the log."),
    ("board.*", "Belongs to the larger product of the reference."),
    ("browser.*", "Belongs to the larger product of the reference."),
    ("canvas.*", "Belongs to the larger product of the reference."),
    ("chat.*", "Titles of tool calls belong to the larger product of the reference."),
    ("claws.*", "Belongs to the larger product of the reference."),
    ("computer.*", "Belongs to the larger product of the reference."),
    ("config.*", "There is no desktop here to open the file on."),
    ("connect", "The handshake itself; it is answered before the table is asked."),
    ("controlUi.*", "Belongs to the larger product of the reference."),
    ("conversations.*", "Messages go to a chat with `send`; a directory of chats is not kept."),
    ("cron.scratch.*", "Notes of a job belong into the workspace of its agent."),
    ("desktop.*", "Belongs to the larger product of the reference."),
    ("diagnostics.*", "There is no JavaScript engine to take profiles of."),
    ("doctor.*", "Memory and its upkeep belong to the larger product of the reference."),
    ("environments.*", "Belongs to the larger product of the reference."),
    (
        "exec.approval.grants.*",
        "Standing grants belong to the reference's automations; rules are in `exec.approvals.get`.",
    ),
    ("exec.approvals.node.*", "Commands run on the gateway's host; a node keeps its rules itself."),
    ("fs.*", "Belongs to the larger product of the reference."),
    ("gateway.suspend.handoff", "There is no second gateway to hand over to."),
    ("github.*", "Belongs to the larger product of the reference."),
    ("hooks.*", "Webhooks are set up in the configuration file; methods about them are not built."),
    ("mcp.*", "Belongs to the larger product of the reference."),
    ("memory.*", "Belongs to the larger product of the reference."),
    ("mentions.*", "Belongs to the larger product of the reference."),
    ("migrations.*", "Belongs to the larger product of the reference."),
    ("models.*", "Models are configured in the file; changing them by RPC is not built yet."),
    ("nativeHook.*", "Belongs to the larger product of the reference."),
    (
        "node.pending.ack",
        "Nothing is queued for a connected node: it is asked, or the caller is told that it is not there.",
    ),
    (
        "node.pending.pull",
        "Nothing is queued for a connected node: it is asked, or the caller is told that it is not there.",
    ),
    ("node.pluginSurface.refresh", "Surfaces of plugins belong to the larger product of the reference."),
    ("node.runnerInventory.update", "Sessions are not moved to nodes."),
    ("openclaw.*", "Belongs to the larger product of the reference."),
    ("plugin.surface.*", "Belongs to the larger product of the reference."),
    ("plugins.*", "Belongs to the larger product of the reference."),
    ("poll", "Polls in messengers are not built."),
    ("portal.*", "Belongs to the larger product of the reference."),
    ("progressCard.*", "Belongs to the larger product of the reference."),
    ("projects.*", "Belongs to the larger product of the reference."),
    ("push.*", "Belongs to the larger product of the reference."),
    ("secrets.resolve", "Secrets leave the gateway only towards those they are for."),
    ("session.*", "Sharing, sharing evidence and companions belong to the larger product of the reference."),
    ("sessions.activitySummary.*", "Companions belong to the larger product of the reference."),
    ("sessions.assignOwner", "There is one user, the owner."),
    ("sessions.catalog.*", "Sessions of other programs belong to the larger product of the reference."),
    ("sessions.companion.*", "Companions belong to the larger product of the reference."),
    ("sessions.diff", "A session has no folder of its own."),
    ("sessions.dispatch", "Sessions are not moved to nodes."),
    ("sessions.files.*", "A session has no folder of its own; files are read with `agents.workspace.get`."),
    ("sessions.github.*", "Belongs to the larger product of the reference."),
    ("sessions.goal.*", "Goals belong to the larger product of the reference."),
    ("sessions.groups.*", "A session has no folder of its own, so a group has none to begin it in."),
    ("sessions.move", "Sessions are not moved to nodes."),
    ("sessions.observer.*", "Companions belong to the larger product of the reference."),
    ("sessions.pluginPatch", "There are no plugins."),
    ("sessions.providerReview.*", "Belongs to the larger product of the reference."),
    ("sessions.reclaim", "Sessions are not moved to nodes."),
    ("sessions.recover", "Nothing has to be recovered: what was said is on the disk before it is answered."),
    ("sessions.setInvolvement", "There is one user, the owner."),
    ("sessions.viewers.*", "There is one user, the owner."),
    ("sessions.*", "This part of sessions is not built yet."),
    ("skills.curator.*", "Skills are kept by whoever wrote them; nothing tends them by itself."),
    ("skills.library.*", "There is one user, the owner: skills lie in folders and not in a library."),
    ("skills.proposals.*", "Agents do not write skills by themselves."),
    ("skills.workshop.*", "Agents do not write skills by themselves."),
    ("skills.*", "This gateway installs nothing from a registry: a skill is a folder somebody puts there."),
    ("system.*", "Facts about the host are in `status`."),
    ("talk.*", "Belongs to the larger product of the reference."),
    ("taskSuggestions.*", "Belongs to the larger product of the reference."),
    ("tasks.*", "What a run did stands in its transcript; it is asked again by asking."),
    ("terminal.*", "Belongs to the larger product of the reference."),
    ("themes.*", "Belongs to the larger product of the reference."),
    ("tools.*", "Credentials of GitHub belong to the larger product of the reference."),
    ("transcripts.*", "Belongs to the larger product of the reference."),
    ("tts.*", "Belongs to the larger product of the reference."),
    ("ui.*", "Belongs to the larger product of the reference."),
    ("update.*", "The host's package manager updates this program."),
    ("users.*", "There is one user, the owner."),
    ("voicewake.*", "Words wake whoever listens for them: there are no routes."),
    ("web.*", "Belongs to the larger product of the reference."),
    ("webSearch.*", "Belongs to the larger product of the reference."),
    ("wizard.*", "Belongs to the larger product of the reference."),
    ("worker.*", "Belongs to the larger product of the reference."),
    ("worktrees.*", "Belongs to the larger product of the reference."),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The list for readers of the tree; `GOLDEN=write` makes it anew.
    #[test]
    fn the_list_of_what_is_absent_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spec/absent.tsv");
        let mut list = String::from("method\treason\n");
        for (name, _, coverage) in coverage() {
            if let Coverage::Absent(reason) = coverage {
                list.push_str(&format!("{name}\t{reason}\n"));
            }
        }
        if std::env::var("GOLDEN").is_ok_and(|word| word == "write") {
            std::fs::write(path, &list).expect("written");
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(there == list, "tests/spec/absent.tsv is not what the table says; GOLDEN=write makes it");
    }

    #[test]
    fn what_is_there_in_part_is_there() {
        assert!(PARTIAL.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(PARTIAL.iter().all(|(name, lack)| find(name).is_some() && lack.ends_with('.')));
    }
}
