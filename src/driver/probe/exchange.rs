//! HTTP over a stream of tokio's, for probes and for `neap.fetch`.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Awaits an exchange, and keeps its connection going meanwhile.
pub(crate) async fn beside_connection<T>(
    exchange: impl Future<Output = Result<T, String>>,
    connection: impl Future<Output = hyper::Result<()>>,
    failed: impl Fn(hyper::Error) -> String,
) -> Result<T, String> {
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    let mut closed = false;
    poll_fn(|cx| {
        if !closed && let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            closed = true;
            if let Err(error) = ended {
                return Poll::Ready(Err(failed(error)));
            }
        }
        // The answer may be there although the connection is closed already.
        exchange.as_mut().poll(cx)
    })
    .await
}

/// A tokio stream as hyper wants it.
pub(crate) struct Io<S>(pub(crate) S);

impl<S: AsyncRead + Unpin> hyper::rt::Read for Io<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        let room = out.remaining().min(bytes.len());
        let mut buffer = ReadBuf::new(bytes.get_mut(..room).unwrap_or_default());
        match Pin::new(&mut self.0).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                out.put_slice(buffer.filled());
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Io<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
