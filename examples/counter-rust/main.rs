//! Counters that are kept in the app's space of the key-value store.
#[path = "../../sdk/rust/edged.rs"]
mod edged;

use edged::kv;
use std::error::Error;
use std::io::Write;

/// The key of the counter that the query names.
fn key() -> String {
    format!("counter/{}", edged::query("name").unwrap_or_else(|| "default".into()))
}

fn number(value: Option<&[u8]>) -> i64 {
    value.and_then(|v| std::str::from_utf8(v).ok()).and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// POST: adds the query's "by", 1 unless given, and answers with the sum.
#[no_mangle]
pub extern "C" fn add() -> i32 {
    edged::run(|| {
        let by = match edged::query("by").unwrap_or_else(|| "1".into()).parse::<i64>() {
            Ok(by) => by,
            Err(_) => return refuse("by is not a whole number"),
        };
        let sum = kv::update(key(), |old| Some(number(old).wrapping_add(by).to_string().into_bytes()))?;
        writeln!(edged::output(), "{}", number(sum.as_deref()))?;
        Ok(())
    })
}

/// GET: answers with the sum.
#[no_mangle]
pub extern "C" fn value() -> i32 {
    edged::run(|| {
        writeln!(edged::output(), "{}", number(kv::get(key())?.as_deref()))?;
        Ok(())
    })
}

/// Answers 400 with a reason.
fn refuse(reason: &str) -> Result<(), Box<dyn Error>> {
    edged::status(400)?;
    writeln!(edged::output(), "{reason}")?;
    Ok(())
}
