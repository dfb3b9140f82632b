//! Asks the host for everything the Rust SDK can ask for and answers "ok", or fails with what was wrong. The tests of the examples
//! deploy it.
#[path = "../../rust/edged.rs"]
mod edged;

use edged::{kv, Kind, Object};
use std::collections::hash_map::RandomState;
use std::error::Error;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

type Outcome = Result<(), Box<dyn Error>>;

macro_rules! expect {
    ($condition:expr) => {
        if !$condition {
            return Err(format!("line {}: {}", line!(), stringify!($condition)).into());
        }
    };
}

fn is<T>(got: edged::Result<T>, kind: Kind) -> bool {
    matches!(got, Err(e) if e.kind == kind)
}

#[no_mangle]
pub extern "C" fn probe() -> i32 {
    edged::run(|| {
        exchange()?;
        store()?;
        scan()?;
        batch()?;
        calls()?;
        actors()?;
        writeln!(edged::output(), "ok")?;
        Ok(())
    })
}

/// Fails with this text.
#[no_mangle]
pub extern "C" fn fails() -> i32 {
    edged::run(|| Err("as it should, 42".into()))
}

/// Panics with this text.
#[no_mangle]
pub extern "C" fn panics() -> i32 {
    edged::run(|| panic!("as it must, {}", edged::method().len() + 40))
}

/// Answers with its input, twice.
#[no_mangle]
pub extern "C" fn echo() -> i32 {
    edged::run(|| {
        edged::status(201)?;
        edged::output().write_all(&edged::input().repeat(2))?;
        Ok(())
    })
}

/// Answers with what is random: no two calls may give the same.
#[no_mangle]
pub extern "C" fn draw() -> i32 {
    edged::run(|| {
        let mut bytes = [0; 8];
        edged::random(&mut bytes)?;
        writeln!(edged::output(), "{} {bytes:?}", RandomState::new().build_hasher().finish())?;
        Ok(())
    })
}

static TALLIED: AtomicU32 = AtomicU32::new(0);

/// Counts its messages: a class of actors, in whose instance statics stay.
#[no_mangle]
pub extern "C" fn tally() -> i32 {
    edged::run(|| {
        write!(edged::output(), "{}", TALLIED.fetch_add(1, Ordering::Relaxed) + 1)?;
        Ok(())
    })
}

fn actors() -> Outcome {
    let actor = edged::actor("tally", "probe")?;
    expect!(edged::actor("tally", "probe")? == actor && is(edged::actor("echo", "probe"), Kind::Invalid));
    let mut counts = vec![];
    for function in ["", "tally"] {
        counts.push(String::from_utf8(actor.send(function, "")?.get()?)?.parse::<u32>()?);
    }
    expect!(counts[1] == counts[0] + 1);
    Ok(())
}

fn exchange() -> Outcome {
    let body = edged::input();
    expect!(body.len() == 100_000 && body == b"0123456789".repeat(10_000));
    expect!(edged::method() == "POST" && edged::path() == "/probe-rust/probe" && edged::query("a").as_deref() == Some("1 2"));
    expect!(edged::header("x-probe").as_deref() == Some("yes") && edged::header("X-None").is_none() && edged::query("b").is_none());
    expect!(edged::meta("app").as_deref() == Some("probe-rust") && edged::param("none").is_none() && edged::event_id().is_none());
    expect!(edged::config("greeting")? == "ahoy" && is(edged::config("none"), Kind::NotFound) && is(edged::secret("none"), Kind::NotFound));
    edged::status(202)?;
    edged::set_header("X-Probe", "1")?;
    edged::set_header("X-Probe", "2")?;
    expect!(is(edged::status(99), Kind::Invalid) && is(edged::set_header("a b", ""), Kind::Invalid));
    expect!(is(edged::set_header("Content-Length", "1"), Kind::Denied));
    edged::log(edged::Level::Warn, "a line of the probe");
    Ok(())
}

fn store() -> Outcome {
    let large = vec![7; 1 << 20];
    expect!(kv::get("s/none")?.is_none() && is(kv::set("", "x"), Kind::Invalid) && is(kv::get("k".repeat(1025)), Kind::TooLarge));
    kv::set("s/large", &large)?;
    expect!(kv::get("s/large")? == Some(large));
    expect!(kv::delete("s/large")? && !kv::delete("s/large")?);
    kv::delete("s/e")?;
    expect!(is(kv::cas("s/e", Some(b"x"), Some(b"y")), Kind::Conflict));
    kv::cas("s/e", None, Some(b""))?;
    expect!(is(kv::cas("s/e", None, Some(b"x")), Kind::Conflict));
    kv::cas("s/e", Some(b""), None)?;
    expect!(kv::update("s/e", |old| Some([old.unwrap_or(b"none"), b"!"].concat()))? == Some(b"none!".to_vec()));
    let lease = kv::lock("l", Duration::from_secs(60))?;
    expect!(lease.token() > 0);
    lease.unlock()?;
    expect!(is(kv::lock("m", Duration::from_secs(1_000_000)).map(drop), Kind::Invalid));
    Ok(())
}

fn scan() -> Outcome {
    for i in 0..50 {
        kv::set(format!("n/{i:02}"), vec![i as u8; i * 1000])?;
    }
    let mut n = 0;
    for entry in kv::scan("n/") {
        let (key, value) = entry?;
        expect!(key == format!("n/{n:02}").as_bytes() && value == vec![n as u8; n * 1000]);
        n += 1;
    }
    expect!(n == 50 && kv::scan("none/").next().is_none());
    Ok(())
}

fn batch() -> Outcome {
    let value = vec![b'v'; 5000];
    let mut run = kv::Batch::new();
    run.delete("b").cas("b", None, Some(&value)).get("b").delete("b").delete("b").get("b").set("b", "");
    let results = run.run()?;
    let found: Vec<bool> = results.iter().map(|r| r.found).collect();
    expect!(found[2..6] == [true, true, false, false] && results[2].value == value && results.len() == 7);
    expect!(is(kv::Batch::new().set("b", "changed").cas("b", None, None).run(), Kind::Conflict));
    expect!(kv::get("b")? == Some(vec![]) && kv::Batch::new().run()?.is_empty());
    Ok(())
}

fn calls() -> Outcome {
    expect!(edged::call("echo", "ab")? == b"abab" && edged::result_status() == Some(201));
    expect!(edged::call("probe-rust/echo", vec![b'c'; 5000])? == vec![b'c'; 10_000]);
    expect!(is(edged::call("none", ""), Kind::NotFound));
    for (function, text) in [("fails", "as it should, 42"), ("panics", "as it must, 44")] {
        let failed = edged::call(function, "").unwrap_err();
        if failed.kind != Kind::Internal || !failed.text.contains(text) {
            return Err(format!("{function} gave {failed}").into());
        }
    }
    let list = [edged::start("echo", "x")?, edged::start("fails", "")?, edged::put("data")?];
    expect!(edged::wait(&list, 3, None)? == [true, true, true]);
    expect!(list[0].get_within(Duration::ZERO)? == b"xx" && is(list[1].get(), Kind::Internal));
    expect!(list[2].len()? == 4 && list[2].get()? == b"data");
    list[0].cancel()?;
    list[2].release()?;
    expect!(is(Object(12345).get(), Kind::NotFound) && is(edged::wait(&list, 4, None), Kind::Invalid));
    Ok(())
}
