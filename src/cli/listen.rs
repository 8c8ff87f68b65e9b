//! Where `neap daemon` listens beside the control socket.

use super::anchored::Anchor;
use super::args::Daemon;
use super::exit::{Exit, Failure};
use crate::instance::Endpoint;
use crate::rpc::{Address, Tls, TlsFiles};

/// What was asked for, as far as the command line alone says whether it makes sense.
pub(super) struct Listening<'a> {
    addresses: Vec<Address>,
    tls: Option<TlsFiles<'a>>,
}

/// Reads the flags.
pub(super) fn asked(args: &Daemon) -> Result<Listening<'_>, Failure> {
    let usage = |text: String| Failure::new(text).exit(Exit::Code(2));
    let addresses = args.listen.iter().map(|text| text.parse().map_err(|error| usage(format!("--listen: {error}"))));
    let addresses: Vec<Address> = addresses.collect::<Result<_, Failure>>()?;
    let files =
        [("--tls-cert", &args.tls_cert), ("--tls-key", &args.tls_key), ("--tls-client-ca", &args.tls_client_ca)];
    let missing: Vec<&str> = files.iter().filter(|(_, file)| file.is_none()).map(|(flag, _)| *flag).collect();
    let tls = match files.map(|(_, file)| file.as_deref()) {
        [Some(cert), Some(key), Some(client_ca)] => Some(TlsFiles { cert, key, client_ca }),
        [None, None, None] => None,
        _ => {
            let missing = missing.join(" and ");
            return Err(usage(format!(
                "{missing}: missing; TLS takes the server's certificate, its key, and the authority \
                 of its clients' certificates"
            )));
        }
    };
    if tls.is_some() && !addresses.iter().any(|address| matches!(address, Address::Tcp { .. })) {
        return Err(usage("--tls-cert: nothing is served over TCP; add --listen tcp:HOST:PORT".to_owned()));
    }
    Ok(Listening { addresses, tls })
}

impl Listening<'_> {
    /// Listens. A first supervisor that cannot is refused; a later one does without, and the reasons are returned.
    pub(super) fn open(
        self,
        args: &Daemon,
        anchor: Option<&mut Anchor>,
    ) -> Result<(Vec<Endpoint>, Vec<String>), Failure> {
        let (mut endpoints, mut lacking) = (Vec::new(), Vec::new());
        let mut anchor = anchor.map(|(link, inheritance)| (&*link, inheritance));
        let first = anchor.as_ref().is_none_or(|(_, inheritance)| inheritance.lives == 1);
        let tls = self.tls.map(|files| Tls::load(files, args.tls_role.into())).transpose();
        let (tls, broken) = match tls {
            Ok(tls) => (tls, None),
            Err(error) if first => return Err(Failure::new(error.to_string())),
            Err(error) => (None, Some(error.to_string())),
        };
        for address in self.addresses {
            if let (Some(broken), Address::Tcp { .. }) = (&broken, &address) {
                // Never without, where it was asked for.
                lacking.push(format!("nobody is served at {address}: {broken}"));
                continue;
            }
            let held = anchor.as_mut().map(|(link, inheritance)| (*link, &mut **inheritance));
            match Endpoint::open(address, tls.as_ref(), held) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(why) if first => return Err(Failure::new(why)),
                Err(why) => lacking.push(why),
            }
        }
        Ok((endpoints, lacking))
    }
}
