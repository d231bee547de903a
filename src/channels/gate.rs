//! Who may talk, and who is meant: decided for each message from the configuration as it is then.
//!
//! Only immutable ids decide (T41). A direct chat needs `dmPolicy`; pairing lets a sender into direct chats and nowhere
//! else. A group needs its id in `groups` (or an open policy) and its sender in `groupAllowFrom`, `allowFrom` or the
//! group's own list; a group's id in a list of senders lets nobody in. An empty list is nobody.
//!
//! Pure: no clock, no disk, no state.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::account::{Account, texts};
use super::message::{ChatKind, Incoming};
use crate::config::Config;
use crate::sys::regex::Regex;
use crate::wire::frame::cut;

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to an agent. `trusted`: its sender may start the conversation over.
    Take { trusted: bool },
    /// Its sender is unknown and is offered a pairing code.
    Pair,
    /// Nothing happens; the reason is for the log.
    Leave(&'static str),
}

/// Why a message is left that would be taken if we were named in it.
pub const UNNAMED: &str = "we are not named in it";

/// Everybody.
const ALL: &str = "*";

/// Decides about one message. `paired`: its sender was let in by an operator.
pub fn judge(config: &Config, account: &Account, message: &Incoming, paired: bool) -> Verdict {
    let defaults = config.channels.get("defaults").and_then(Value::as_object);
    if message.sender.id.is_empty() {
        return Verdict::Leave("it has no sender");
    }
    if message.sender.bot {
        let allowed = match account.settings.get("allowBots") {
            Some(Value::Bool(allowed)) => *allowed,
            Some(Value::String(word)) if word == "mentions" => message.mentioned,
            _ => false,
        };
        if !allowed {
            return Verdict::Leave("its sender is a program (allowBots)");
        }
    }
    let prefixes = account.spec.prefixes;
    let listed = |list: &[String]| {
        let own = |entry: &String| {
            is_sender(entry, &message.sender.id, prefixes) || is_sender(entry, &message.sender.also, prefixes)
        };
        list.iter().any(|entry| match entry.strip_prefix("accessGroup:") {
            Some(name) => members(config, account, name).iter().any(own),
            None => own(entry),
        })
    };
    if message.kind == ChatKind::Direct {
        let allowed = account.texts("allowFrom");
        return match account.text("dmPolicy").unwrap_or("pairing") {
            "disabled" => Verdict::Leave("direct messages are off (dmPolicy)"),
            _ if listed(&allowed) => Verdict::Take { trusted: true },
            "open" if allowed.iter().any(|entry| entry == ALL) => Verdict::Take { trusted: false },
            "allowlist" | "open" => Verdict::Leave("its sender is not in allowFrom"),
            "pairing" if allowed.iter().any(|entry| entry == ALL) => Verdict::Take { trusted: false },
            "pairing" if paired => Verdict::Take { trusted: true },
            "pairing" => Verdict::Pair,
            _ => Verdict::Leave("dmPolicy says a word nobody knows"),
        };
    }
    let place = place(account, message);
    let group = place.rules.as_deref();
    let policy = group
        .and_then(|group| group.get("groupPolicy"))
        .or(account.settings.get("groupPolicy"))
        .or(defaults.and_then(|defaults| defaults.get("groupPolicy")))
        .and_then(Value::as_str)
        .unwrap_or("allowlist");
    if policy == "disabled" || group.is_some_and(switched_off) {
        return Verdict::Leave("groups are off (groupPolicy)");
    }
    let open = policy == "open";
    if group.is_none() && (place.closed || !open) {
        return Verdict::Leave(place.list.unlisted());
    }
    let own = |name: &str| group.map(|group| texts(group.get(name))).unwrap_or_default();
    let trusted = match place.list {
        List::Groups => {
            let senders = match own("allowFrom") {
                list if !list.is_empty() => list,
                _ if account.settings.contains_key("groupAllowFrom") => account.texts("groupAllowFrom"),
                _ => account.texts("allowFrom"),
            };
            let trusted = listed(&senders);
            if !trusted && !open && !senders.iter().any(|entry| entry == ALL) {
                return Verdict::Leave("its sender is not in groupAllowFrom");
            }
            trusted
        }
        // Whoever is let into a guild or a workspace by its owners may talk there, unless the entry names some.
        List::Guilds | List::Channels => {
            let (users, roles) = (own("users"), own("roles"));
            let named = listed(&users) || roles.iter().any(|role| message.roles.contains(role));
            let anybody = users.is_empty() && roles.is_empty() || users.iter().any(|entry| entry == ALL);
            if !named && !anybody {
                return Verdict::Leave("its sender is not in users or roles");
            }
            named || listed(&account.texts("allowFrom"))
        }
    };
    if !message.mentioned && !called(config, message) {
        if mention_needed(account, group, message) {
            return Verdict::Leave(UNNAMED);
        }
        let others = group.and_then(|group| group.get("ignoreOtherMentions"));
        if message.elsewhere && others == Some(&Value::Bool(true)) {
            return Verdict::Leave("it is for somebody else (ignoreOtherMentions)");
        }
    }
    Verdict::Take { trusted }
}

/// The people of an access group in this messenger. Of a kind that is not known here there are none.
fn members(config: &Config, account: &Account, name: &str) -> Vec<String> {
    let group = config.access_groups.get(name).filter(|group| group.kind.as_deref() == Some("message.senders"));
    let of = |channel: &str| group.and_then(|group| group.members.get(channel)).cloned();
    [ALL, account.spec.id].into_iter().filter_map(of).flat_map(|ids| texts(Some(&Value::Array(ids)))).collect()
}

/// Bytes of a text in which we are looked for by pattern.
const CALLED: usize = 4 << 10;

/// Whether a text means us by one of `messages.groupChat.mentionPatterns`. One that is no expression means nobody.
fn called(config: &Config, message: &Incoming) -> bool {
    let patterns = &config.messages.group_chat.mention_patterns;
    let text = cut(&message.text, CALLED);
    let matches = |pattern: &String| Regex::new(pattern, true).is_ok_and(|regex| regex.is_match(text));
    patterns.iter().any(matches)
}

/// Whether a list's entry names this sender. `telegram:1` and `tg:1` mean `1`; an entry that is only a name never fits,
/// because ids are compared and nothing else.
fn is_sender(entry: &str, id: &str, prefixes: &[&str]) -> bool {
    let bare = prefixes.iter().find_map(|prefix| entry.strip_prefix(prefix)?.strip_prefix(':')).unwrap_or(entry);
    let bare = bare.strip_prefix("user:").unwrap_or(bare);
    !bare.is_empty() && bare != ALL && bare == id
}

/// How a messenger's section lists where we listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `groups.<id>`.
    Groups,
    /// `guilds.<id>.channels.<id>`: the channel's keys over the guild's.
    Guilds,
    /// `channels.<id>`.
    Channels,
}

impl List {
    /// The key of the section.
    pub fn key(self) -> &'static str {
        match self {
            List::Groups => "groups",
            List::Guilds => "guilds",
            List::Channels => "channels",
        }
    }

    fn unlisted(self) -> &'static str {
        match self {
            List::Groups => "its group is not in groups",
            List::Guilds => "its guild or channel is not in guilds",
            List::Channels => "its channel is not in channels",
        }
    }
}

/// The rules of the conversation a message stands in.
struct Place<'a> {
    list: List,
    rules: Option<Cow<'a, Map<String, Value>>>,
    /// There is a list, and what is not in it is not heard, however open the policy.
    closed: bool,
}

fn place<'a>(account: &'a Account, message: &Incoming) -> Place<'a> {
    let list = account.spec.list;
    let section = account.settings.get(list.key()).and_then(Value::as_object);
    let closed = section.is_some_and(|section| !section.is_empty());
    let rules = match list {
        List::Groups | List::Channels => group_of(section, message).map(Cow::Borrowed),
        List::Guilds => section.and_then(|guilds| guild(guilds, message)),
    };
    Place { list, rules, closed }
}

/// A guild's rules with those of a channel over them. One channel listed is a list of all that are heard.
fn guild<'a>(guilds: &'a Map<String, Value>, message: &Incoming) -> Option<Cow<'a, Map<String, Value>>> {
    let guild = guilds.get(message.space.as_deref()?).or_else(|| guilds.get(ALL))?.as_object()?;
    let channels = guild.get("channels").and_then(Value::as_object).filter(|channels| !channels.is_empty());
    let Some(channels) = channels else { return Some(Cow::Borrowed(guild)) };
    let own = group_of(Some(channels), message)?;
    let mut rules = guild.clone();
    rules.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    // Whom a channel lists are all it listens to: the guild's other list must not add to them.
    for (listed, other) in [("users", "roles"), ("roles", "users")] {
        if own.contains_key(listed) && !own.contains_key(other) {
            rules.remove(other);
        }
    }
    Some(Cow::Owned(rules))
}

fn switched_off(rules: &Map<String, Value>) -> bool {
    rules.get("enabled").or_else(|| rules.get("allow")) == Some(&Value::Bool(false))
}

/// The settings of a message's group; those of its topic lie over them.
fn group_of<'a>(groups: Option<&'a Map<String, Value>>, message: &Incoming) -> Option<&'a Map<String, Value>> {
    let groups = groups?;
    let parent = || groups.get(message.parent.as_deref()?);
    groups.get(&message.chat).or_else(parent).or_else(|| groups.get(ALL))?.as_object()
}

fn topic_of<'a>(group: Option<&'a Map<String, Value>>, message: &Incoming) -> Option<&'a Map<String, Value>> {
    let topics = group?.get("topics")?.as_object()?;
    topics.get(message.thread.as_deref()?).or_else(|| topics.get(ALL))?.as_object()
}

fn mention_needed(account: &Account, group: Option<&Map<String, Value>>, message: &Incoming) -> bool {
    let said = topic_of(group, message).and_then(|topic| topic.get("requireMention"));
    let said = said.or_else(|| group.and_then(|group| group.get("requireMention")));
    said.and_then(Value::as_bool).or(account.flag("requireMention")).unwrap_or(true)
}

/// What a group or a direct chat adds to a turn: words for the system prompt, rules for tools (JSON of a tool policy), an
/// agent of its own.
#[derive(Debug, Default, PartialEq)]
pub struct Extras {
    pub system: Option<String>,
    pub tools: Option<String>,
    pub agent: Option<String>,
}

pub fn extras(account: &Account, message: &Incoming) -> Extras {
    let word = |section: Option<&Map<String, Value>>, name: &str| {
        section.and_then(|section| section.get(name)).and_then(Value::as_str).map(str::to_owned)
    };
    let section = match message.kind {
        ChatKind::Direct => {
            group_of(account.settings.get("direct").and_then(Value::as_object), message).map(Cow::Borrowed)
        }
        _ => place(account, message).rules,
    };
    let section = section.as_deref();
    let topic = topic_of(section, message);
    let by_sender = section.and_then(|section| section.get("toolsBySender")).and_then(Value::as_object);
    let of_sender = by_sender.and_then(|rules| {
        let id = &message.sender.id;
        let names = [format!("channel:{}:{id}", account.spec.id), format!("id:{id}"), id.clone(), ALL.to_owned()];
        names.iter().find_map(|name| rules.get(name))
    });
    let tools = of_sender
        .or_else(|| topic.and_then(|topic| topic.get("tools")))
        .or_else(|| section.and_then(|section| section.get("tools")));
    Extras {
        system: word(topic, "systemPrompt").or_else(|| word(section, "systemPrompt")),
        tools: tools.map(Value::to_string),
        agent: word(topic, "agentId").or_else(|| word(section, "agentId")),
    }
}

/// Whether a sender is an owner (`commands.ownerAllowFrom`): `telegram:1`, or `1` alone.
pub fn is_owner(config: &Config, account: &Account, sender: &str) -> bool {
    let owners = Value::Array(config.commands.owner_allow_from.clone());
    texts(Some(&owners)).iter().any(|entry| is_sender(entry, sender, account.spec.prefixes))
}

/// Whether a sender may decide about approvals: one of the account's `execApprovals.approvers`, else an owner; where nobody
/// is named as either, whoever may start a direct chat over.
pub fn may_approve(config: &Config, account: &Account, message: &Incoming, owner: bool, trusted: bool) -> bool {
    let section = account.settings.get("execApprovals");
    let approvers = texts(section.and_then(|section| section.get("approvers")));
    let is = |entry: &String| is_sender(entry, &message.sender.id, account.spec.prefixes);
    if !approvers.is_empty() {
        return approvers.iter().any(is);
    }
    owner || (config.commands.owner_allow_from.is_empty() && trusted && message.kind == ChatKind::Direct)
}

/// A program that talks with us may exchange so many messages in a window; then it is not heard for a while.
#[derive(Debug, Default)]
pub struct Loops(std::collections::HashMap<String, Pair>);

#[derive(Debug, Default)]
struct Pair {
    /// When messages came, in seconds.
    at: std::collections::VecDeque<u64>,
    silent_until: u64,
}

/// Pairs remembered.
const PAIRS: usize = 256;

impl Loops {
    /// Counts a message of a program. False: it is one too many.
    pub fn count(&mut self, config: &Config, account: &Account, message: &Incoming, now_s: u64) -> bool {
        let rules = |section: Option<&Value>, name: &str| {
            section.and_then(|section| section.get("botLoopProtection")).and_then(|rules| rules.get(name)).cloned()
        };
        let own = Value::Object(account.settings.clone());
        let rule = |name: &str| rules(Some(&own), name).or_else(|| rules(config.channels.get("defaults"), name));
        if rule("enabled") == Some(Value::Bool(false)) {
            return true;
        }
        let number = |name: &str, own: u64| rule(name).and_then(|value| value.as_u64()).unwrap_or(own);
        let (most, window) = (number("maxEventsPerWindow", 20).max(1), number("windowSeconds", 60).max(1));
        if self.0.len() >= PAIRS {
            self.0.retain(|_, pair| pair.silent_until > now_s || pair.at.back().is_some_and(|at| at + window > now_s));
        }
        if self.0.len() >= PAIRS {
            return false;
        }
        let pair = self.0.entry(format!("{}\u{1f}{}", message.chat, message.sender.id)).or_default();
        if pair.silent_until > now_s {
            return false;
        }
        while pair.at.front().is_some_and(|at| at + window <= now_s) {
            pair.at.pop_front();
        }
        if pair.at.len() as u64 >= most {
            pair.silent_until = now_s + number("cooldownSeconds", 60);
            pair.at.clear();
            return false;
        }
        pair.at.push_back(now_s);
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::account::accounts;
    use super::super::message::Sender;
    use super::*;
    use crate::config::AccessGroup;

    fn config(section: Value) -> Config {
        let mut config = Config::default();
        config.channels.insert("webhook".into(), section);
        config
    }

    fn judged(section: Value, message: &Incoming, paired: bool) -> Verdict {
        let config = config(section);
        let account = accounts(&config).remove(0);
        judge(&config, &account, message, paired)
    }

    fn direct(id: &str) -> Incoming {
        let sender = Sender { id: id.into(), name: "7".into(), bot: false, ..Sender::default() };
        Incoming { kind: ChatKind::Direct, chat: id.into(), sender, ..Incoming::default() }
    }

    fn group(chat: &str, sender: &str, mentioned: bool) -> Incoming {
        Incoming { kind: ChatKind::Group, chat: chat.into(), mentioned, ..direct(sender) }
    }

    const TRUSTED: Verdict = Verdict::Take { trusted: true };

    #[test]
    fn a_direct_message_needs_its_policy() {
        assert_eq!(judged(json!({}), &direct("1"), false), Verdict::Pair);
        assert_eq!(judged(json!({}), &direct("1"), true), TRUSTED);
        assert_eq!(judged(json!({"allowFrom": [1]}), &direct("1"), false), TRUSTED);
        let listed = json!({"dmPolicy": "allowlist", "allowFrom": ["webhook:1", "2"]});
        assert_eq!(judged(listed.clone(), &direct("1"), false), TRUSTED);
        assert!(matches!(judged(listed, &direct("3"), true), Verdict::Leave(_)));
        assert!(matches!(
            judged(json!({"dmPolicy": "disabled", "allowFrom": ["1"]}), &direct("1"), true),
            Verdict::Leave(_)
        ));
        assert!(matches!(judged(json!({"dmPolicy": "open"}), &direct("1"), true), Verdict::Leave(_)));
        let open = json!({"dmPolicy": "open", "allowFrom": ["*"]});
        assert_eq!(judged(open, &direct("1"), false), Verdict::Take { trusted: false });
        assert!(matches!(judged(json!({"dmPolicy": "allowlist"}), &direct("1"), true), Verdict::Leave(_)));
        assert!(matches!(judged(json!({"dmPolicy": "nonsense"}), &direct("1"), true), Verdict::Leave(_)));
    }

    #[test]
    fn a_name_never_lets_anybody_in() {
        let listed = json!({"dmPolicy": "allowlist", "allowFrom": ["7", "@seven", "Seven"]});
        assert!(matches!(judged(listed, &direct("1"), false), Verdict::Leave(_)), "its name is 7, its id is 1");
    }

    #[test]
    fn a_group_needs_itself_its_sender_and_a_mention() {
        let section = json!({"allowFrom": ["1"], "groups": {"-5": {}}});
        assert_eq!(judged(section.clone(), &group("-5", "1", true), false), TRUSTED);
        assert!(matches!(
            judged(section.clone(), &group("-5", "1", false), false),
            Verdict::Leave("we are not named in it")
        ));
        assert!(matches!(judged(section.clone(), &group("-6", "1", true), false), Verdict::Leave(_)));
        assert!(
            matches!(judged(section.clone(), &group("-5", "2", true), true), Verdict::Leave(_)),
            "pairing is for direct chats"
        );
        let silent = json!({"allowFrom": ["1"], "groups": {"*": {"requireMention": false}}});
        assert_eq!(judged(silent, &group("-9", "1", false), false), TRUSTED);
        assert!(matches!(judged(json!({"allowFrom": ["1"]}), &group("-5", "1", true), false), Verdict::Leave(_)));
        let open = json!({"groupPolicy": "open"});
        assert_eq!(judged(open, &group("-5", "2", true), false), Verdict::Take { trusted: false });
        let by_group_id = json!({"groupAllowFrom": ["-5"], "groups": {"-5": {}}});
        assert!(matches!(judged(by_group_id, &group("-5", "2", true), false), Verdict::Leave(_)));
        let unset = json!({"groupAllowFrom": [], "allowFrom": ["1"], "groups": {"-5": {}}});
        assert!(matches!(judged(unset, &group("-5", "1", true), false), Verdict::Leave(_)), "empty is nobody");
    }

    #[test]
    fn a_guild_lists_its_channels_and_who_may_talk_there() {
        let judged = |guild: Value, change: &dyn Fn(&mut Incoming)| {
            let mut config = Config::default();
            let section = json!({"token": "x", "allowFrom": ["1"], "guilds": {"9": guild}});
            config.channels.insert("discord".into(), section);
            let account = accounts(&config).remove(0);
            let mut message = Incoming { kind: ChatKind::Channel, space: Some("9".into()), ..group("5", "2", true) };
            change(&mut message);
            judge(&config, &account, &message, true)
        };
        let as_is = |_: &mut Incoming| {};
        assert_eq!(judged(json!({}), &as_is), Verdict::Take { trusted: false }, "everybody in a listed guild");
        assert_eq!(judged(json!({}), &|m| m.sender.id = "1".into()), TRUSTED);
        let left = |guild: Value, change: &dyn Fn(&mut Incoming)| matches!(judged(guild, change), Verdict::Leave(_));
        assert!(left(json!({}), &|m| m.space = Some("8".into())), "another guild");
        assert!(left(json!({}), &|m| m.mentioned = false));
        assert_eq!(judged(json!({"users": ["discord:2"]}), &as_is), TRUSTED);
        assert!(left(json!({"users": ["3"], "roles": ["7"]}), &as_is));
        assert_eq!(judged(json!({"users": ["3"], "roles": ["7"]}), &|m| m.roles = vec!["7".into()]), TRUSTED);
        // One channel is a list of all; a thread has its parent's rules; what a channel says lies over the guild's.
        assert!(left(json!({"channels": {"6": {}}}), &as_is));
        let quiet = json!({"channels": {"6": {"requireMention": false}}});
        let in_thread = |m: &mut Incoming| (m.parent, m.mentioned) = (Some("6".into()), false);
        assert_eq!(judged(quiet, &in_thread), Verdict::Take { trusted: false });
        let open_room = json!({"users": ["3"], "roles": ["7"], "channels": {"5": {"users": ["*"]}}});
        assert_eq!(judged(open_room, &as_is), Verdict::Take { trusted: false });
        assert!(left(json!({"channels": {"*": {"enabled": false}}}), &as_is));
        assert!(left(json!({"channels": {"*": {"allow": false}}}), &as_is), "as it was written before");
        let for_others = json!({"requireMention": false, "ignoreOtherMentions": true});
        assert!(left(for_others, &|m| (m.mentioned, m.elsewhere) = (false, true)));
    }

    #[test]
    fn a_topic_and_a_group_bring_their_own_rules() {
        let section = json!({"groups": {"-5": {"systemPrompt": "short", "tools": {"deny": ["exec"]},
            "topics": {"9": {"systemPrompt": "on topic", "agentId": "writer"}}}}});
        let config = config(section);
        let account = accounts(&config).remove(0);
        let mut message = group("-5", "1", true);
        assert_eq!(extras(&account, &message).system.as_deref(), Some("short"));
        message.thread = Some("9".into());
        let found = extras(&account, &message);
        assert_eq!((found.system.as_deref(), found.agent.as_deref()), (Some("on topic"), Some("writer")));
        assert_eq!(found.tools.as_deref(), Some(r#"{"deny":["exec"]}"#));
    }

    #[test]
    fn an_access_group_and_a_pattern_are_read_from_the_configuration() {
        let allowed = json!(["accessGroup:ops", "accessGroup:odd", "accessGroup:nobody"]);
        let mut config = config(json!({"dmPolicy": "allowlist", "allowFrom": allowed, "groups": {"-5": {}}}));
        let group_of = |kind: &str| {
            let mut group = AccessGroup { kind: Some(kind.into()), ..AccessGroup::default() };
            group.members.insert(ALL.into(), vec![json!("9")]);
            group.members.insert("webhook".into(), vec![json!("webhook:1")]);
            group.members.insert("telegram".into(), vec![json!("3")]);
            group
        };
        config.access_groups.insert("ops".into(), group_of("message.senders"));
        config
            .access_groups
            .insert("odd".into(), AccessGroup { kind: Some("discord.channelAudience".into()), ..group_of("") });
        config.messages.group_chat.mention_patterns = vec![r"\bhelper\b".into(), "(".into()];
        let account = accounts(&config).remove(0);
        let judged = |message: &Incoming| judge(&config, &account, message, false);
        assert_eq!((judged(&direct("1")), judged(&direct("9"))), (TRUSTED, TRUSTED));
        assert!(matches!(judged(&direct("2")), Verdict::Leave(_)) && matches!(judged(&direct("3")), Verdict::Leave(_)));
        let said = |text: &str| Incoming { text: text.into(), ..group("-5", "1", false) };
        assert_eq!(judged(&said("Helper, look")), TRUSTED);
        assert_eq!(judged(&said("helpers")), Verdict::Leave(UNNAMED));
    }

    #[test]
    fn an_approver_is_named_or_an_owner_or_alone_with_us() {
        let may = |section: Value, owners: Value, message: &Incoming, trusted: bool| {
            let mut config = config(section);
            config.commands.owner_allow_from = owners.as_array().expect("a list").clone();
            let account = accounts(&config).remove(0);
            let owner = is_owner(&config, &account, &message.sender.id);
            may_approve(&config, &account, message, owner, trusted)
        };
        assert!(may(json!({}), json!([]), &direct("1"), true));
        assert!(!may(json!({}), json!([]), &direct("1"), false), "let in, but not trusted");
        assert!(!may(json!({}), json!([]), &group("-5", "1", true), true), "a group has no approver by itself");
        assert!(may(json!({}), json!(["webhook:1"]), &group("-5", "1", true), false));
        assert!(!may(json!({}), json!(["2"]), &direct("1"), true));
        let named = json!({"execApprovals": {"approvers": ["1"]}});
        assert!(may(named.clone(), json!(["2"]), &direct("1"), false));
        assert!(!may(named, json!(["2"]), &direct("2"), true), "who is named is all");
    }

    #[test]
    fn two_programs_do_not_talk_for_ever() {
        let config = config(json!({"allowBots": true, "botLoopProtection": {"maxEventsPerWindow": 2}}));
        let account = accounts(&config).remove(0);
        let mut loops = Loops::default();
        let message = group("-5", "bot", true);
        let counted: Vec<bool> =
            [0, 1, 2, 3, 63].iter().map(|s| loops.count(&config, &account, &message, *s)).collect();
        assert_eq!(counted, [true, true, false, false, true]);
    }
}
