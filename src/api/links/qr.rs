//! `GET /api/v1/links/{code}/qr`: the short URL as a QR code, for paper and screens.
//!
//! SVG, or PNG of one bit a pixel. Error correction is level M (15 %); the quiet zone is the four modules
//! that ISO/IEC 18004 asks for.

use std::io::{self, Write};

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::ZlibEncoder};
use http::header;
use qrcode::{Color, EcLevel, QrCode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ApiState, Caller, Params, Problem, blocking, shown::short_url};
use crate::links::Error;

/// Light modules around the code.
const QUIET: usize = 4;
/// The most pixels of a module.
const SCALE_MAX: usize = 40;

/// In which form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Form {
    /// `svg` when absent.
    #[schemars(extend("enum" = ["svg", "png"]))]
    format: Option<String>,
    /// Pixels of a module of a PNG; 8 when absent.
    #[schemars(range(min = 1, max = SCALE_MAX))]
    scale: Option<usize>,
}

pub(in crate::api) async fn qr(
    State(api): State<ApiState>,
    caller: Caller,
    Path(code): Path<String>,
    Params(form): Params<Form>,
) -> Result<Response, Problem> {
    let scale = form.scale.unwrap_or(8);
    if !(1..=SCALE_MAX).contains(&scale) {
        return Err(Problem::bad_request(format!("scale is 1 to {SCALE_MAX}")));
    }
    let png = match form.format.as_deref() {
        None | Some("svg") => false,
        Some("png") => true,
        Some(_) => return Err(Problem::bad_request("format is svg or png")),
    };
    let url = blocking(move || {
        let link = api.links.store().current(&code)?;
        let link = link.filter(|r| caller.actor.acts_for(&r.owner)).ok_or(Error::Unknown)?;
        Ok(short_url(&api.short_url_base, &link))
    });
    let made = QrCode::with_error_correction_level(url.await?, EcLevel::M);
    let made = made.map_err(|e| Problem::internal(&e))?;
    let modules = Modules { width: made.width(), dark: made.to_colors() };
    let (kind, bytes) = match png {
        true => ("image/png", modules.png(scale).map_err(|e| Problem::internal(&e))?),
        false => ("image/svg+xml", modules.svg().into_bytes()),
    };
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// A code without its quiet zone, row by row.
struct Modules {
    width: usize,
    dark: Vec<Color>,
}

impl Modules {
    /// Whether the module at this place is dark; places count with the quiet zone.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.width);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => self.dark.get(y * self.width + x) == Some(&Color::Dark),
            _ => false,
        }
    }

    const fn side(&self) -> usize {
        self.width + 2 * QUIET
    }

    /// One path of unit squares, each run of a row one piece.
    fn svg(&self) -> String {
        let (side, mut path) = (self.side(), String::new());
        for y in 0..side {
            let mut x = 0;
            while x < side {
                let run = (x..side).take_while(|at| self.is_dark(*at, y)).count();
                if run > 0 {
                    path.push_str(&format!("M{x} {y}h{run}v1h-{run}z"));
                }
                x += run.max(1);
            }
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
             shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
             <path d=\"{path}\"/></svg>\n"
        )
    }

    /// PNG (RFC 2083): greyscale of one bit.
    fn png(&self, scale: usize) -> io::Result<Vec<u8>> {
        let side = self.side() * scale;
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        for y in 0..side {
            // Rows begin with the number of their filter: none.
            let mut row = vec![0; 1 + side.div_ceil(8)];
            for x in (0..side).filter(|x| !self.is_dark(x / scale, y / scale)) {
                row[1 + x / 8] |= 0x80 >> (x % 8);
            }
            packed.write_all(&row)?;
        }
        let length = u32::try_from(side).map_err(io::Error::other)?.to_be_bytes();
        let head = [&length[..], &length[..], &[1, 0, 0, 0, 0]].concat();
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in [(b"IHDR", head), (b"IDAT", packed.finish()?), (b"IEND", Vec::new())] {
            let whole = [&kind[..], &data[..]].concat();
            png.extend(u32::try_from(data.len()).map_err(io::Error::other)?.to_be_bytes());
            png.extend(&whole);
            png.extend(crc32fast::hash(&whole).to_be_bytes());
        }
        Ok(png)
    }
}
