//! The page behind an acknowledgement link. Looking at it changes nothing, since programs that check mail follow links;
//! its one button does.

use super::App;
use super::api::find;
use super::problem::Problem;
use crate::ack_link::BadLink;
use crate::clock;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use balefire_engine::Input;
use balefire_model::record::StateChanged;
use balefire_model::text::one_line;
use balefire_model::{IncidentId, State as IncidentState};
use balefire_store::view::IncidentView;
use serde::Deserialize;

/// What comes with a link: the channel, the end of its time, the signature.
#[derive(Debug, Deserialize)]
pub(crate) struct Signed {
    c: String,
    e: i64,
    s: String,
}

type Link = Result<Query<Signed>, QueryRejection>;

pub(crate) async fn page(State(app): State<App>, Path(id): Path<String>, link: Link) -> Response {
    match checked(&app, &id, link).await {
        Ok((view, _)) => match view.row.state {
            IncidentState::Open => show(&view, "Not acknowledged yet.", true),
            state => show(&view, &format!("It is {state} already."), false),
        },
        Err(refused) => refused,
    }
}

pub(crate) async fn acknowledge(State(app): State<App>, Path(id): Path<String>, link: Link) -> Response {
    let (view, channel) = match checked(&app, &id, link).await {
        Ok(checked) => checked,
        Err(refused) => return refused,
    };
    if view.row.state != IncidentState::Open {
        return show(&view, &format!("It is {} already.", view.row.state), false);
    }
    let change = StateChanged {
        incident: view.row.id,
        state: IncidentState::Acked,
        by: format!("the link sent to {channel}"),
        comment: String::new(),
    };
    match app.mailbox.ask(Input::Change(change), 0, 0).await {
        Ok(_) => show(&view, "Acknowledged. Nobody else will be called for it.", false),
        Err(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, &format!("Not acknowledged: {why}. Try again.")),
    }
}

/// The incident of a link that is good, and the link's channel.
async fn checked(app: &App, id: &str, link: Link) -> Result<(IncidentView, String), Response> {
    let forged = || refuse(StatusCode::FORBIDDEN, &format!("Nothing was changed: {}.", BadLink::Forged));
    let Ok(Query(Signed { c, e, s })) = link else { return Err(forged()) };
    let Ok(incident) = id.parse::<IncidentId>() else { return Err(forged()) };
    match app.signer.check((incident, &c), e, &s, clock::now()) {
        Ok(()) => {}
        Err(BadLink::Forged) => return Err(forged()),
        Err(BadLink::Expired) => {
            let text = format!("Nothing was changed: {}. Use `balefire incidents ack {incident}`.", BadLink::Expired);
            return Err(refuse(StatusCode::GONE, &text));
        }
    }
    let view = find(app, &incident.to_string()).await.map_err(Problem::into_response)?;
    Ok((view, one_line(&c).into_owned()))
}

fn show(view: &IncidentView, says: &str, has_button: bool) -> Response {
    let button = "<form method=\"post\"><button>Acknowledge</button></form>";
    let row = &view.row;
    let body = format!(
        "<p class=\"s\">{}</p><h1>{}</h1><p>{}</p>{}<p class=\"i\">{}</p>",
        row.severity.as_upper_str(),
        escape(&row.title),
        escape(says),
        if has_button { button } else { "" },
        row.id,
    );
    html(StatusCode::OK, &body)
}

fn refuse(status: StatusCode, says: &str) -> Response {
    html(status, &format!("<h1>Balefire</h1><p>{}</p>", escape(says)))
}

fn html(status: StatusCode, body: &str) -> Response {
    const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:3rem auto;padding:0 1rem}\
                         button{font:inherit;padding:.6rem 1.4rem}.s{font-weight:bold}.i{color:#666;font-size:.8rem}\
                         @media(prefers-color-scheme:dark){body{background:#111;color:#eee}}";
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Balefire</title><style>{STYLE}</style></head><body>{body}</body></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // The address is a right: it goes nowhere from here, and nothing else runs here.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
    ];
    (status, headers, page).into_response()
}

fn escape(text: &str) -> String {
    let safe = one_line(text);
    safe.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
