//! A Mattermost that does as it is told: the socket for events, and the REST API.

use serde_json::{Value, json};

use super::service::{Addresses, Called, Service, World};

pub const TOKEN: &str = "mattermost-token-canary";

pub type Mattermost = Service<Server>;

#[derive(Default)]
pub struct Server {
    pub posts: Vec<Value>,
    news: Vec<Value>,
    pub uploads: Vec<Vec<u8>>,
    pub known: bool,
    made: u64,
}

impl Server {
    fn now(&mut self) -> u64 {
        self.made += 1;
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as u64;
        // Two posts are never of the same moment.
        now.max(self.posts.last().and_then(|post| post["create_at"].as_u64()).unwrap_or(0) + 1)
    }

    fn note(&mut self, mut post: Value) -> Value {
        let at = self.now();
        (post["id"], post["create_at"]) = (format!("post{}", self.made).into(), at.into());
        self.posts.push(post.clone());
        post
    }

    /// Somebody writes; the socket tells it. Answers the post's id.
    pub fn says(&mut self, chat: &str, user: &str, text: &str, more: Value) -> String {
        let mut post = json!({"channel_id": chat, "user_id": user, "message": text, "type": "", "root_id": ""});
        super::gateway::merge(&mut post, more);
        let post = self.note(post);
        let data = json!({"channel_type": kind(chat), "channel_display_name": "Town Square", "team_id": "t1",
                          "post": post.to_string(), "sender_name": "@ada"});
        self.news.push(json!({"event": "posted", "data": data, "broadcast": {"channel_id": chat}, "seq": 3}));
        post["id"].as_str().expect("an id").to_owned()
    }

    /// A post nobody is told of: it can only be read up.
    pub fn says_unheard(&mut self, chat: &str, user: &str, text: &str) {
        self.note(json!({"channel_id": chat, "user_id": user, "message": text, "type": "", "root_id": ""}));
    }

    pub fn shown_in(&self, chat: &str) -> Vec<String> {
        let ours = self.posts.iter().filter(|post| post["channel_id"] == chat && post["user_id"] == "ubot");
        ours.map(|post| post["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The whole of our posts.
    pub fn ours(&self) -> Vec<Value> {
        self.posts.iter().filter(|post| post["user_id"] == "ubot").cloned().collect()
    }
}

fn kind(chat: &str) -> &'static str {
    if chat.starts_with('d') { "D" } else { "O" }
}

impl World for Server {
    fn serve(&mut self, call: &Called, at: &Addresses) -> (u16, Value) {
        if call.bearer != format!("Bearer {TOKEN}") {
            return (401, json!({"message": "Invalid or expired session, please login again.", "status_code": 401}));
        }
        let (method, path) = call.route.split_once(' ').expect("a route");
        let parts: Vec<&str> = path.trim_start_matches("/api/v4/").split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["users", "me"]) => (200, json!({"id": "ubot", "username": "helper", "is_bot": true})),
            ("GET", ["users", "me", "channels"]) => {
                let mut chats: Vec<&str> = self.posts.iter().filter_map(|post| post["channel_id"].as_str()).collect();
                chats.sort_unstable();
                chats.dedup();
                let row = |chat: &&str| {
                    let last = self.posts.iter().rfind(|post| post["channel_id"] == *chat);
                    json!({"id": chat, "type": kind(chat), "display_name": "Town Square", "team_id": "t1",
                           "last_post_at": last.expect("one")["create_at"]})
                };
                (200, chats.iter().map(row).collect())
            }
            ("GET", ["config", "client"]) => (200, json!({"WebsocketURL": at.socket})),
            ("GET", ["users", id]) => (200, json!({"id": id, "username": "ada", "is_bot": false})),
            ("GET", ["channels", id]) => (200, json!({"id": id, "type": kind(id), "display_name": "Town Square"})),
            ("GET", ["channels", id, "posts"]) => {
                let since: u64 = call.asked("since").parse().unwrap_or(0);
                let wanted = self.posts.iter().filter(|post| {
                    post["channel_id"] == *id && post["create_at"].as_u64().is_some_and(|at| at > since)
                });
                let posts: serde_json::Map<String, Value> =
                    wanted.map(|post| (post["id"].as_str().expect("an id").to_owned(), post.clone())).collect();
                (200, json!({"order": [], "posts": posts}))
            }
            ("POST", ["channels", "direct"]) => {
                (201, json!({"id": format!("d{}", call.body[1].as_str().expect("one"))}))
            }
            ("POST", ["posts"]) => {
                let mut post = call.body.clone();
                post["user_id"] = "ubot".into();
                (201, self.note(post))
            }
            ("PUT", ["posts", id, "patch"]) => match self.posts.iter_mut().find(|post| post["id"] == *id) {
                Some(post) => {
                    post["message"] = call.body["message"].clone();
                    (200, post.clone())
                }
                None => (404, json!({"message": "no such post"})),
            },
            ("POST", ["files"]) => {
                self.uploads.push(call.raw.clone());
                (201, json!({"file_infos": [{"id": "f1"}]}))
            }
            ("POST", ["users", "me", "typing"]) => (200, json!({"status": "OK"})),
            _ => (404, json!({"message": format!("no {path}")})),
        }
    }

    fn file(&mut self, call: &Called) -> Option<Vec<u8>> {
        (call.route == "GET /api/v4/files/f7").then(|| b"some notes".to_vec())
    }

    fn opened(&mut self) -> Vec<Value> {
        self.known = false;
        // What is told of while nobody listens is lost.
        self.news.clear();
        Vec::new()
    }

    fn hear(&mut self, said: &Value) -> Vec<Value> {
        if said["action"] != "authentication_challenge" || said["data"]["token"] != TOKEN {
            return vec![
                json!({"status": "FAIL", "seq_reply": 1, "error": {"id": "api.web_socket_router.bad_action"}}),
            ];
        }
        self.known = true;
        vec![
            json!({"status": "OK", "seq_reply": 1}),
            json!({"event": "hello", "data": {"server_version": "10"}, "seq": 0}),
        ]
    }

    fn pending(&mut self) -> Vec<Value> {
        if self.known { std::mem::take(&mut self.news) } else { Vec::new() }
    }
}
