//! Sources become functions: `load`, `loadstring`, `loadfile` and `dofile`.
use vm::value::Closure;
use vm::{Call, Outcome, Reply, Sequence, Table, Value};

/// `load` and its kin give nil and the message.
fn loaded<'gc>(call: &mut Call<'_, 'gc>, result: Result<Closure<'gc>, Value<'gc>>) -> Reply<'gc> {
    match result {
        Ok(f) => call.ret(Value::closure(f)),
        Err(message) => {
            call.push(Value::NIL);
            call.push(message);
            Ok(Outcome::Return)
        }
    }
}

fn compile<'gc>(
    call: &mut Call<'_, 'gc>,
    source: &[u8],
    name: &[u8],
    mode: Option<&[u8]>,
    env: Option<Table<'gc>>,
) -> Result<Closure<'gc>, Value<'gc>> {
    let kind = if source.first() == Some(&0x1b) { b'b' } else { b't' };
    if mode.is_some_and(|m| !m.contains(&kind)) {
        return Err(call.cx.str(b"attempt to load chunk with wrong mode"));
    }
    call.charge(source.len());
    call.reserve(source.len() * 4)?;
    let env = env.unwrap_or_else(|| call.cx.thread_env(call.thread()));
    call.cx.load(source, name, env)
}

pub fn load<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let env = call.arg(3).as_table();
    let name = call.opt_bytes(1)?;
    let mode = call.opt_bytes(2)?;
    if let Some(source) = call.cx.to_str(call.arg(0)) {
        let source = gc_bytes(source);
        let result = compile(call, source, name.unwrap_or(source), mode, env);
        return loaded(call, result);
    }
    if let Some(held) = crate::buffer::contents(call, 0)? {
        let result = compile(call, &held, name.unwrap_or_default(), mode, env);
        return loaded(call, result);
    }
    call.callable(0)?;
    call.push(call.arg(0));
    Ok(Outcome::Call(Box::new(Reader { source: Vec::new() })))
}

fn gc_bytes<'gc>(s: vm::Str<'gc>) -> &'gc [u8] {
    Call::as_bytes(s)
}

/// Calls the reader function of `load` until it gives nothing more.
struct Reader {
    source: Vec<u8>,
}

impl Sequence for Reader {
    fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let piece = call.result(0);
        call.clear();
        match call.cx.to_str(piece) {
            Some(s) if !s.is_empty() => {
                call.reserve(s.len())?;
                self.source.extend_from_slice(s.bytes());
                call.push(call.arg(0));
                Ok(Outcome::Call(self))
            }
            end if end.is_some() || piece.is_nil() => {
                let name = call.opt_bytes(1)?.unwrap_or(b"=(load)");
                let mode = call.opt_bytes(2)?;
                let env = call.arg(3).as_table();
                let result = compile(call, &self.source, name, mode, env);
                loaded(call, result)
            }
            _ => call.ret_nil_err("reader function must return a string"),
        }
    }
    fn fail<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>, error: Value<'gc>) -> Reply<'gc> {
        call.push(Value::NIL);
        call.push(error);
        Ok(Outcome::Return)
    }
    fn catches(&self) -> bool {
        true
    }
}

/// Reads a source file; None is standard input. Err: the message of `loadfile`.
pub(crate) fn read_source<'gc>(
    call: &mut Call<'_, 'gc>,
    path: Option<&[u8]>,
) -> Result<(Vec<u8>, Vec<u8>), Value<'gc>> {
    let shown = path.map_or("stdin".into(), String::from_utf8_lossy);
    let failed = |call: &Call<'_, 'gc>, what: &str, e: &std::io::Error| {
        call.cx.str(format!("cannot {what} {shown}: {}", crate::io_error(e)).as_bytes())
    };
    let (mut file, name): (Box<dyn std::io::Read>, _) = match path {
        Some(path) => {
            let file = std::fs::File::open(crate::os::path(path)).map_err(|e| failed(call, "open", &e))?;
            (Box::new(file), [b"@", path].concat())
        }
        None => (Box::new(std::io::stdin()), b"=stdin".to_vec()),
    };
    // (piece by piece: what a file holds may be more than there is memory for)
    let mut source = Vec::new();
    loop {
        let used = source.len();
        let room = used.clamp(PIECE, PIECE * 64);
        call.reserve(room)?;
        source.resize(used + room, 0);
        let n = file.read(&mut source[used..]).map_err(|e| failed(call, "read", &e))?;
        source.truncate(used + n);
        if n == 0 {
            return Ok((source, name));
        }
    }
}

/// The least that is read of a file at once.
const PIECE: usize = 16 << 10;

pub fn loadfile<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let path = call.opt_bytes(0)?;
    let mode = call.opt_bytes(1)?;
    let env = call.arg(2).as_table();
    let result = match read_source(call, path) {
        Ok((source, name)) => compile(call, &source, &name, mode, env),
        Err(message) => Err(message),
    };
    loaded(call, result)
}

pub fn dofile<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let path = call.opt_bytes(0)?;
    let (source, name) = read_source(call, path)?;
    let f = compile(call, &source, &name, None, None)?;
    call.push(Value::closure(f));
    Ok(Outcome::TailCall)
}
