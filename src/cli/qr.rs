//! `openclaw qr`: invites one new device. The code it prints is a secret until it was used.

use std::time::Duration;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::args::Qr;
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::tree::json;

/// Prints an invitation as a picture of characters, with the code below it.
pub fn run(shell: &mut Shell, args: &Qr) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let mut params = json!({});
    match (args.node_only, args.limited) {
        (true, true) => return Err(Failure::usage("--node-only and --limited exclude each other")),
        (true, false) => params["bootstrapProfile"] = "node".into(),
        (false, true) => params["bootstrapProfile"] = "limited".into(),
        (false, false) => {}
    }
    if args.link {
        params["joinUrl"] = true.into();
    }
    if let Some(url) = &args.public_url {
        params["publicUrl"] = url.as_str().into();
    }
    let who = Identity::cli(&["operator.admin"]);
    let result = calls.once(who, "device.pair.setupCode", params)?;
    if args.json {
        return shell.json(&result);
    }
    let code = text_at(&result, "/setupCode").unwrap_or_default();
    if args.setup_code_only {
        return shell.line(code);
    }
    if !args.no_ascii {
        // Dark on light whatever the terminal's colours are: a camera needs the border.
        let picture = QrCode::with_error_correction_level(code.as_bytes(), EcLevel::L)
            .map_err(|error| Failure::usage(format!("the code does not fit into a picture: {error}")))?;
        let picture = picture
            .render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .quiet_zone(true)
            .build();
        shell.line(picture)?;
    }
    shell.fact("Setup code", code)?;
    shell.fact("Gateway", text_at(&result, "/gatewayUrl").unwrap_or_default())?;
    if let Some(link) = text_at(&result, "/joinUrl") {
        shell.fact("Link (good once)", link)?;
    }
    shell.fact("Access", text_at(&result, "/access").unwrap_or_default())?;
    shell.line("The code is good once, for ten minutes. Whoever shows it first is let in.")
}

const USUAL: Duration = Duration::from_secs(10);
