//! How old the newest row of a table is, by the server's own clock. One question again and again over one session; what an age
//! means is decided by who asks.

use super::dial::{connector, dial};
use super::{Link, PostgresLayout, Target};
use crate::config::AuditRows;
use crate::transport::describe;
use balefire_channels::Reply;
use std::time::Duration;

/// Asks for the newest row.
pub(crate) struct Newest {
    target: Target,
    statement: String,
    link: Option<Link>,
}

impl Newest {
    /// # Errors
    /// Where the authorities or our own certificate cannot be read; in words.
    pub(crate) fn new(rows: &AuditRows) -> Result<Newest, String> {
        let settings = (*rows.postgres).clone();
        let connector = connector(&settings).map_err(|error| describe(&error))?;
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let (schema, name) = (quoted(&rows.table.schema), quoted(&rows.table.name));
        let column = quoted(&rows.table.column);
        let statement = format!(
            "SELECT (extract(epoch FROM clock_timestamp()) - extract(epoch FROM max({column})))::float8 FROM {schema}.{name}"
        );
        Ok(Newest { target: Target { settings, connector }, statement, link: None })
    }

    /// Its age; none where there is no row. Cancel-safe.
    ///
    /// # Errors
    /// Why nothing is known, in words.
    pub(crate) async fn ask(&mut self) -> Result<Option<Duration>, String> {
        // A session from before may have ended while it had nothing to do; that says nothing of the server.
        if let Some(link) = self.link.take()
            && let Ok(age) = self.over(link).await
        {
            return Ok(age);
        }
        let link = first(&self.target).await?;
        self.over(link).await
    }

    async fn over(&mut self, mut link: Link) -> Result<Option<Duration>, String> {
        let rows = self.target.read(&mut link, &self.statement, &[]).await.map_err(|reply| words(&reply))?;
        let row = rows.first().ok_or("the server gives no answer")?;
        let age: Option<f64> = row.try_get(0).map_err(|error| describe(&error))?;
        self.link = Some(link);
        // A row from the future is as new as one can be.
        Ok(age.map(|age| Duration::try_from_secs_f64(age.max(0.0)).unwrap_or(Duration::MAX)))
    }
}

/// A session with the first server that answers.
async fn first(Target { settings, connector }: &Target) -> Result<Link, String> {
    let mut last = "no server is set".to_owned();
    for endpoint in &settings.endpoints {
        let place = endpoint.to_string();
        let dialled = dial(settings, connector.as_ref(), endpoint);
        last = match tokio::time::timeout(settings.connect_timeout, dialled).await {
            Ok(Ok((client, connection))) => {
                let layout = PostgresLayout::default();
                return Ok(Link { client, connection: Some(connection), place, layout });
            }
            Ok(Err(error)) => format!("{place}: {}", describe(&error)),
            Err(_) => format!("{place}: no connection within {:?}", settings.connect_timeout),
        };
    }
    Err(last)
}

fn words(reply: &Reply) -> String {
    match reply {
        Reply::SqlRefused { state, text } => format!("{text} ({state})"),
        Reply::Failed { detail, .. } => detail.clone(),
        other => format!("{other:?}"),
    }
}
