//! What each method of the fake demands and does. Knows no socket.

use super::{Answer, File, Message, Request, State, TOKEN, Upload, WEBHOOK, WEBHOOK_CHANNEL, blocks};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One message a second in a conversation.
const PACE: Duration = Duration::from_secs(1);
const TEXT_CHARS_MAX: usize = 40_000;

/// How a call is named to tests: its method, and its conversation where the body names one.
pub(super) fn name(request: &Request) -> String {
    let path = request.path.as_str();
    if path.starts_with("/upload/") {
        return "upload".to_owned();
    }
    let Some(method) = path.strip_prefix("/api/") else { return "webhook".to_owned() };
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let about = body["channel"].as_str().or(body["channel_id"].as_str()).or(body["users"].as_str());
    about.map_or_else(|| method.to_owned(), |about| format!("{method} {about}"))
}

/// Where arguments may be, and the scope that a method wants.
fn contract(method: &str) -> Option<(&'static [&'static str], &'static str)> {
    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json; charset=utf-8";
    Some(match method {
        "users.lookupByEmail" => (&[FORM], "users:read.email"),
        "conversations.open" => (&[FORM, JSON], "im:write"),
        "chat.postMessage" | "chat.update" => (&[FORM, JSON], "chat:write"),
        "files.getUploadURLExternal" => (&[FORM], "files:write"),
        "files.completeUploadExternal" => (&[FORM, JSON], "files:write"),
        _ => return None,
    })
}

impl State {
    pub(super) fn take_fault(&mut self, call: &str) -> Option<super::Fault> {
        let place = self.faults.iter().position(|(what, _)| call.starts_with(what.as_str()))?;
        self.faults.remove(place).map(|(_, fault)| fault)
    }

    pub(super) fn answer(&mut self, request: &Request, address: SocketAddr) -> Answer {
        if let Some(file) = request.path.strip_prefix("/upload/") {
            return self.upload(file, request);
        }
        let Some(method) = request.path.strip_prefix("/api/") else { return self.webhook(request) };
        let Some((content_types, scope)) = contract(method) else {
            return self.wrong(method, "unknown_method");
        };
        match request.header("authorization").strip_prefix("Bearer ") {
            None => return self.wrong(method, "not_authed"),
            Some(token) if token != TOKEN => return self.wrong(method, "invalid_auth"),
            Some(_) => {}
        }
        if !content_types.contains(&request.header("content-type")) {
            return self.wrong(method, "invalid_post_type");
        }
        if !self.scopes.contains(scope) {
            let body = json!({ "ok": false, "error": "missing_scope", "needed": scope, "provided": "chat:write" });
            return Answer::json(&body);
        }
        let arguments = if request.header("content-type").contains("json") {
            serde_json::from_slice(&request.body).unwrap_or_default()
        } else {
            form(&request.body)
        };
        if !arguments.is_object() {
            return self.wrong(method, "invalid_json");
        }
        let done = match method {
            "users.lookupByEmail" => self.look_up(&arguments),
            "conversations.open" => self.open(&arguments),
            "chat.postMessage" => return self.post(&arguments),
            "chat.update" => self.update(&arguments),
            "files.getUploadURLExternal" => self.begin_upload(&arguments, address),
            _ => self.complete_upload(&arguments),
        };
        done.map_or_else(|code| self.told(method, code), |body| Answer::json(&body))
    }

    /// A call that no caller may make.
    fn wrong(&mut self, method: &str, code: &str) -> Answer {
        self.wrongs.push(format!("{method}: {code}"));
        Answer::error(code)
    }

    /// An error; some are a fault of the configuration, the others of the caller.
    fn told(&mut self, method: &str, code: &str) -> Answer {
        let is_life = ["users_not_found", "user_not_found", "channel_not_found", "is_archived"].contains(&code);
        if is_life { Answer::error(code) } else { self.wrong(method, code) }
    }

    fn look_up(&self, arguments: &Value) -> Result<Value, &'static str> {
        let email = arguments["email"].as_str().ok_or("invalid_arguments")?;
        let id = self.users.get(email).ok_or("users_not_found")?;
        Ok(json!({ "ok": true, "user": { "id": id, "profile": { "email": email } } }))
    }

    fn open(&mut self, arguments: &Value) -> Result<Value, &'static str> {
        let user = arguments["users"].as_str().ok_or("users_list_not_supplied")?;
        if !self.users.values().any(|id| id == user) {
            return Err("user_not_found");
        }
        let id = user.replacen('U', "D", 1);
        self.channels.insert(id.clone(), String::new());
        Ok(json!({ "ok": true, "channel": { "id": id } }))
    }

    fn post(&mut self, arguments: &Value) -> Answer {
        let channel = match self.conversation(arguments) {
            Ok(channel) => channel,
            Err(code) => return self.told("chat.postMessage", code),
        };
        if let Err(why) = check_message(arguments) {
            return self.wrong("chat.postMessage", &why);
        }
        if let Some(thread) = arguments["thread_ts"].as_str()
            && !self
                .messages
                .iter()
                .any(|message| message.channel == channel && message.ts == thread && message.thread_ts.is_none())
        {
            return Answer::error("thread_not_found");
        }
        if let Some(seconds) = self.must_wait(&channel) {
            return Answer::slow_down(seconds);
        }
        let ts = self.next_ts();
        let thread_ts = arguments["thread_ts"].as_str().map(str::to_owned);
        let posted =
            Message { channel: channel.clone(), ts: ts.clone(), thread_ts, body: arguments.clone(), updates: 0 };
        self.messages.push(posted);
        Answer::json(&json!({ "ok": true, "channel": channel, "ts": ts, "message": { "text": arguments["text"] } }))
    }

    /// How long the next message to a conversation has to wait. Who does not wait as long as asked breaks the contract.
    fn must_wait(&mut self, channel: &str) -> Option<u64> {
        if self.is_fast {
            return None;
        }
        let now = Instant::now();
        if self.resting.get(channel).is_some_and(|until| now + Duration::from_millis(50) < *until) {
            self.wrongs.push(format!("{channel}: came back before the time that was asked for"));
        }
        if self.posted.get(channel).is_some_and(|last| now.duration_since(*last) < PACE) {
            self.resting.insert(channel.to_owned(), now + PACE);
            return Some(PACE.as_secs());
        }
        self.resting.remove(channel);
        self.posted.insert(channel.to_owned(), now);
        None
    }

    fn conversation(&self, arguments: &Value) -> Result<String, &'static str> {
        let named = arguments["channel"].as_str().ok_or("channel_not_found")?;
        let is_it = |(id, name): &(&String, &String)| *id == named || named.strip_prefix('#') == Some(name.as_str());
        let (id, _) = self.channels.iter().find(is_it).ok_or("channel_not_found")?;
        if self.archived.contains(id) { Err("is_archived") } else { Ok(id.clone()) }
    }

    fn next_ts(&mut self) -> String {
        self.count += 1;
        format!("1763780000.{:06}", self.count)
    }

    fn update(&mut self, arguments: &Value) -> Result<Value, &'static str> {
        check_message(arguments).map_err(|_| "invalid_blocks")?;
        let (channel, ts) = (arguments["channel"].as_str(), arguments["ts"].as_str());
        let is_it =
            |message: &&mut Message| Some(message.channel.as_str()) == channel && Some(message.ts.as_str()) == ts;
        let message = self.messages.iter_mut().find(is_it).ok_or("message_not_found")?;
        message.body = arguments.clone();
        message.updates += 1;
        Ok(json!({ "ok": true, "channel": channel, "ts": ts }))
    }

    fn begin_upload(&mut self, arguments: &Value, address: SocketAddr) -> Result<Value, &'static str> {
        arguments["filename"].as_str().filter(|name| !name.is_empty()).ok_or("invalid_arguments")?;
        let length = arguments["length"].as_str().and_then(|text| text.parse().ok()).filter(|length| *length > 0);
        let length = length.ok_or("invalid_arguments")?;
        self.count += 1;
        let id = format!("F{:08}", self.count);
        self.uploads.insert(id.clone(), Upload { length, bytes: None });
        Ok(json!({ "ok": true, "file_id": id, "upload_url": format!("http://{address}/upload/{id}") }))
    }

    fn upload(&mut self, file: &str, request: &Request) -> Answer {
        if !request.header("authorization").is_empty() {
            self.wrongs.push("upload: the token is not for this address".to_owned());
        }
        let Some(upload) = self.uploads.get_mut(file) else { return Answer::text(404, "no such upload") };
        if upload.length != request.body.len() {
            let (said, sent) = (upload.length, request.body.len());
            self.wrongs.push(format!("upload: {said} bytes were announced, {sent} came"));
            return Answer::text(400, "length");
        }
        upload.bytes = Some(request.body.clone());
        Answer::text(200, &format!("OK - {}", request.body.len()))
    }

    fn complete_upload(&mut self, arguments: &Value) -> Result<Value, &'static str> {
        let channel = arguments["channel_id"].as_str().filter(|id| self.channels.contains_key(*id));
        let channel = channel.ok_or("channel_not_found")?.to_owned();
        let files = arguments["files"].as_array().filter(|files| !files.is_empty()).ok_or("invalid_arguments")?;
        let thread_ts = arguments["thread_ts"].as_str().map(str::to_owned);
        if thread_ts.as_ref().is_some_and(|ts| !self.messages.iter().any(|m| m.channel == channel && m.ts == *ts)) {
            return Err("invalid_thread_ts");
        }
        for file in files {
            let upload = file["id"].as_str().and_then(|id| self.uploads.remove(id));
            let bytes = upload.and_then(|upload| upload.bytes).ok_or("file_not_found")?;
            let title = file["title"].as_str().unwrap_or_default().to_owned();
            self.files.push(File { channel: channel.clone(), thread_ts: thread_ts.clone(), title, bytes });
        }
        Ok(json!({ "ok": true, "files": files }))
    }

    fn webhook(&mut self, request: &Request) -> Answer {
        if request.path != WEBHOOK {
            return Answer::text(404, "no_service");
        }
        let body: Value = match serde_json::from_slice(&request.body) {
            Ok(body) if request.header("content-type").starts_with("application/json") => body,
            _ => {
                self.wrongs.push("webhook: invalid_payload".to_owned());
                return Answer::text(400, "invalid_payload");
            }
        };
        if self.archived.contains(WEBHOOK_CHANNEL) {
            return Answer::text(410, "channel_is_archived");
        }
        if let Err(why) = check_message(&body) {
            self.wrongs.push(format!("webhook: {why}"));
            return Answer::text(400, "invalid_blocks");
        }
        if let Some(seconds) = self.must_wait(WEBHOOK_CHANNEL) {
            return Answer { status: 429, retry_after: Some(seconds), body: b"rate_limited".to_vec() };
        }
        let ts = self.next_ts();
        self.messages.push(Message { channel: WEBHOOK_CHANNEL.to_owned(), ts, thread_ts: None, body, updates: 0 });
        Answer::text(200, "ok")
    }
}

/// What a message must be, whoever takes it.
fn check_message(body: &Value) -> Result<(), String> {
    let text = body["text"].as_str().unwrap_or_default();
    if text.is_empty() && !body["blocks"].is_array() {
        return Err("no_text".to_owned());
    }
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err("msg_too_long".to_owned());
    }
    if let Some(list) = body.get("blocks") {
        blocks::check(list).map_err(|why| format!("invalid_blocks: {why}"))?;
    }
    if let Some(metadata) = body.get("metadata") {
        let payload = metadata["event_payload"].as_object();
        if metadata["event_type"].as_str().is_none_or(str::is_empty) || payload.is_none() {
            return Err("invalid_metadata_format".to_owned());
        }
    }
    Ok(())
}

/// `a=b&c=d`, percent-decoded.
fn form(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let fields = text.split('&').filter_map(|field| field.split_once('='));
    fields
        .map(|(name, value)| (name.to_owned(), Value::String(decoded(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let pair: Vec<u8> = rest.by_ref().take(2).collect();
                let pair = std::str::from_utf8(&pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
                bytes.push(pair.unwrap_or(b'?'));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
