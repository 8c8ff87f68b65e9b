//! Streams of what processes print.

use std::sync::Arc;

use supervisor::rpc::json::{self, Json};
use supervisor::rpc::proto::v1::{LogLag, LogLine, LogsRequest, LogsResponse};
use tonic::Request;

use crate::calls::client;
use crate::failure::Failure;
use crate::instance::{Instance, Work};
use crate::stream::{Items, Stream};
use crate::wait::Token;

/// The lines that this request, as JSON, is for.
pub(crate) fn open(
    instance: &Instance,
    request: Option<&str>,
    cancel: Option<Arc<Token>>,
) -> Result<Arc<Stream>, Failure> {
    let request: LogsRequest =
        json::parse(request.unwrap_or("{}")).map_err(|error| Failure::argument("request_json", error.to_string()))?;
    let ask =
        |way| -> Work<_> { Box::pin(async move { Ok(client(way).logs(Request::new(request)).await?.into_inner()) }) };
    Stream::open(instance, cancel, ask, items)
}

fn items(LogsResponse { lines, lag, notes, over }: LogsResponse) -> Items {
    let said = notes.into_iter().map(|note| beside("note", None, note).line());
    let missing = lag.map(|lag| missing(lag).line());
    Items { lines: said.chain(missing).chain(lines.iter().map(json::line)).collect(), over }
}

/// What stands where lines are missing.
fn missing(LogLag { process, lost }: LogLag) -> Json {
    let whose = process.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    let text = match lost {
        Some(lost) => format!("{lost} lines{whose} are missing here: they came faster than they were read"),
        None => format!("some lines{whose} are missing here: they are no longer kept"),
    };
    beside("lag", process, text).with("lost", lost.map_or(Json::Null, |lost| Json::Int(lost.into())))
}

/// What is told among the lines and was not printed: a line that says its kind.
fn beside(kind: &str, process: Option<String>, text: String) -> Json {
    let line = LogLine { process: process.unwrap_or_default(), text: text.into_bytes(), ..LogLine::default() };
    Json::of(&line).with("kind", Json::Text(kind.to_owned()))
}

#[cfg(test)]
mod tests {
    use supervisor::rpc::json::Json;
    use supervisor::rpc::proto::v1::{LogLag, LogLine, LogsResponse};

    use super::items;

    #[test]
    fn what_was_not_printed_stands_among_the_lines_and_says_its_kind() {
        let line = LogLine { process: "web".into(), text: b"up".to_vec(), ..LogLine::default() };
        let lag = LogLag { process: Some("web".into()), lost: Some(3) };
        let told = items(LogsResponse { lines: vec![line], lag: Some(lag), notes: vec!["odd".into()], over: true });
        assert!(told.over);
        let told: Vec<Json> = told.lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<_> = told.iter().map(|line| line.get("kind").text()).collect();
        assert_eq!(kinds, [Some("note"), Some("lag"), None]);
        let texts: Vec<_> = told.iter().filter_map(|line| line.get("text").text()).collect();
        assert_eq!(texts, ["odd", "3 lines of web are missing here: they came faster than they were read", "up"]);
        let lag = told.iter().find(|line| line.get("kind").text() == Some("lag")).unwrap();
        assert_eq!((lag.get("lost"), lag.get("process").text()), (&Json::Int(3), Some("web")));
    }
}
