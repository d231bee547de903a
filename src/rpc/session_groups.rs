//! `sessions.groups.*`: the groups people put sessions into.

use std::sync::Arc;

use rusqlite::Connection;

use crate::auth::Caller;
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext, Ticket};
use crate::store::StoreError;
use crate::store::sessions::groups::{self, Catalogue};
use crate::wire::decode::Text;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::session_group::*;

/// Groups, and sections of a sidebar.
const MOST: usize = 200;

pub fn list(
    context: &TaskContext,
    _: &Arc<Caller>,
    _: SessionsGroupsListParams,
) -> Result<SessionsGroupsListResult, RpcError> {
    let found = context.store.read("list groups of sessions", groups::catalogue).map_err(stored)?;
    Ok(SessionsGroupsListResult { groups: shown(&found), section_order: found.sections })
}

/// Replaces the names and their order. A group with sessions is deleted by its own method, not by leaving it out.
pub fn put(state: &mut State, _: &Arc<Caller>, params: SessionsGroupsPutParams, ticket: Ticket, _: Now) {
    let names = trimmed(params.names);
    let sections = params.section_order.map(trimmed);
    if names.len() > MOST || sections.as_ref().is_some_and(|sections| sections.len() > MOST) {
        return ticket.answer(Err(RpcError::invalid(format!("there are at most {MOST} groups"))));
    }
    change(state, ticket, move |conn| {
        let old = groups::catalogue(conn)?;
        for name in old.names.iter().filter(|name| !names.contains(name)) {
            let members = groups::members(conn, name)?.len();
            if members > 0 {
                let name = cut(name, 64);
                return Ok(Err(RpcError::invalid(format!(
                    "group \"{name}\" still has {members} session(s); delete it with sessions.groups.delete first"
                ))));
            }
        }
        let new = Catalogue { names, sections: sections.unwrap_or(old.sections) };
        groups::keep(conn, &new)?;
        Ok(Ok((new, None)))
    });
}

pub fn rename(state: &mut State, _: &Arc<Caller>, params: SessionsGroupsRenameParams, ticket: Ticket, _: Now) {
    let (from, to) = (params.name.trim().to_string(), params.to.trim().to_string());
    if to.is_empty() {
        return ticket.answer(Err(RpcError::invalid("a group needs a name: at /to: must not be blank")));
    }
    change(state, ticket, move |conn| {
        let mut all = groups::catalogue(conn)?;
        let Some(at) = all.names.iter().position(|name| *name == from) else {
            return Ok(Err(RpcError::invalid(format!("unknown session group: {}", cut(&from, 64)))));
        };
        if from != to && all.names.contains(&to) {
            return Ok(Err(RpcError::invalid(format!("there is a group \"{}\" already", cut(&to, 64)))));
        }
        let updated = groups::move_members(conn, &from, Some(&to))?;
        for section in all.sections.iter_mut().filter(|section| **section == from) {
            section.clone_from(&to);
        }
        all.names[at] = to;
        groups::keep(conn, &all)?;
        Ok(Ok((all, Some(updated))))
    });
}

/// Its sessions stay, in no group.
pub fn delete(state: &mut State, _: &Arc<Caller>, params: SessionsGroupsDeleteParams, ticket: Ticket, _: Now) {
    let name = params.name.trim().to_string();
    change(state, ticket, move |conn| {
        let mut all = groups::catalogue(conn)?;
        let updated = groups::move_members(conn, &name, None)?;
        all.names.retain(|known| *known != name);
        all.sections.retain(|known| *known != name);
        groups::keep(conn, &all)?;
        Ok(Ok((all, Some(updated))))
    });
}

/// The groups as they are now, and how many sessions changed theirs.
type Changed = Result<(Catalogue, Option<u64>), RpcError>;

fn change(
    state: &mut State,
    ticket: Ticket,
    job: impl FnOnce(&Connection) -> Result<Changed, StoreError> + Send + 'static,
) {
    state.change_session(ticket, "change groups of sessions", job, |state, ticket, (all, updated_sessions), now| {
        ticket.answer_with(Ok(SessionsGroupsMutationResult {
            ok: true,
            groups: shown(&all),
            section_order: all.sections,
            updated_sessions,
        }));
        state.tell_sessions_changed("groups", now);
    });
}

fn shown(all: &Catalogue) -> Vec<Group> {
    all.names.iter().enumerate().map(|(position, name)| Group { name: name.clone(), position }).collect()
}

/// Without the blank ones and those that came before.
fn trimmed(names: Vec<Text<512>>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for name in names {
        let name = name.trim();
        if !name.is_empty() && !kept.iter().any(|known| known == name) {
            kept.push(name.to_string());
        }
    }
    kept
}
