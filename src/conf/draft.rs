//! The levels while they are being read: mutable, not merged yet. `finish` turns them into the tree.

use std::collections::HashMap;
use std::sync::Arc;

use ngx::code::Code;

use super::directives::lua_ssl;
use super::settings::Settings;
use super::tree::{
    Addr, Handler, Http, Listen, Location, LocationId, LocationKind, Locations, LuaMain, Map, Op, Server, ServerName,
    ServerNames, VarKind,
};
use super::value::{Names, Value, VarId};
use crate::http::modules::zone::Zones;
use crate::http::modules::{limit_conn, limit_req};
use crate::http::vars;
use crate::log::access::Format;

pub struct LocationDraft {
    pub name: Vec<u8>,
    pub kind: LocationKind,
    pub settings: Settings,
    pub internal: bool,
    pub handler: Option<Handler>,
    pub echo: Vec<super::tree::Echo>,
    pub rewrite: Vec<Op>,
    pub children: Vec<LocationDraft>,
    pub ifs: Vec<LocationDraft>,
    /// `limit_except`
    pub except: Option<(Vec<Vec<u8>>, Box<LocationDraft>)>,
}

impl LocationDraft {
    pub fn new(name: Vec<u8>, kind: LocationKind) -> LocationDraft {
        LocationDraft {
            name,
            kind,
            settings: Settings::default(),
            internal: false,
            handler: None,
            echo: Vec::new(),
            rewrite: Vec::new(),
            children: Vec::new(),
            ifs: Vec::new(),
            except: None,
        }
    }

    /// Adds the location, and what is in it, to all there are.
    fn finish(mut self, outer: &Settings, handler: &Handler, all: &mut Vec<Location>) -> Result<LocationId, String> {
        self.settings.inherit(outer);
        lua_ssl::merge(&mut self.settings, outer)?;
        if !self.echo.is_empty() {
            self.handler = Some(Handler::Echo(Arc::from(self.echo)));
        }
        // An `if` block without a handler of its own runs its location's.
        let own = match (self.handler, &self.kind) {
            (Some(own), _) => own,
            (None, LocationKind::If) => handler.clone(),
            (None, _) => Handler::default(),
        };
        let settings = &self.settings;
        let mut inside = |block: LocationDraft| block.finish(settings, &own, all);
        let ifs = self.ifs.into_iter().map(&mut inside).collect::<Result<_, _>>()?;
        let except = self.except.map(|(methods, block)| inside(*block).map(|block| (methods, block))).transpose()?;
        let nested = locations(self.children, settings, all)?.0;
        all.push(Location {
            name: self.name,
            kind: self.kind,
            internal: self.internal,
            handler: own,
            work: crate::http::phases::wanted(&self.settings, &self.rewrite),
            rewrite: self.rewrite,
            nested,
            ifs,
            except,
            filters: crate::http::filter::wanted(&self.settings),
            settings: self.settings,
        });
        Ok(LocationId(all.len() - 1))
    }
}

/// Sorted for matching; the named ones apart.
fn locations(
    drafts: Vec<LocationDraft>,
    outer: &Settings,
    all: &mut Vec<Location>,
) -> Result<(Locations, Vec<LocationId>), String> {
    let mut found = Locations::default();
    let mut named = Vec::new();
    for draft in drafts {
        let id = draft.finish(outer, &Handler::Files, all)?;
        let location = &all[id.0];
        match location.kind {
            LocationKind::Exact => drop(found.exact.insert(location.name.clone(), id)),
            LocationKind::Prefix { .. } => found.prefixes.push(id),
            LocationKind::Regex(_) => found.regexes.push(id),
            LocationKind::Named => named.push(id),
            LocationKind::Server | LocationKind::If => {}
        }
    }
    found.prefixes.sort_by_key(|id| std::cmp::Reverse(all[id.0].name.len()));
    Ok((found, named))
}

pub struct ServerDraft {
    pub location: LocationDraft,
    pub names: Vec<ServerName>,
    pub listens: Vec<ListenDraft>,
}

#[derive(Clone, Debug)]
pub struct ListenDraft {
    pub addr: Addr,
    pub text: String,
    pub default: bool,
    pub backlog: Option<i32>,
    pub proxy_protocol: bool,
    pub place: String,
}

pub struct MapDraft {
    pub slot: VarId,
    pub map: Map,
    pub hostnames: bool,
    pub volatile: bool,
}

pub struct HttpDraft {
    pub names: Names,
    pub vars: HashMap<VarId, Definition>,
    pub maps: Vec<Map>,
    pub geos: Vec<crate::http::modules::geo::Geo>,
    pub splits: Vec<crate::http::modules::split_clients::Split>,
    pub limit_reqs: Zones<limit_req::Definition>,
    pub limit_conns: Zones<limit_conn::Definition>,
    pub servers: Vec<ServerDraft>,
    pub formats: HashMap<Vec<u8>, Arc<Format>>,
    pub charsets: HashMap<(Vec<u8>, Vec<u8>), Arc<crate::http::filter::Table>>,
    pub lua: LuaDraft,
    pub settings: Settings,
    /// Takes what no row should be able to put anywhere.
    pub outside: LocationDraft,
}

#[derive(Clone, Copy)]
pub enum Definition {
    Slot,
    Map { number: usize, volatile: bool },
    Geo { number: usize, volatile: bool },
    Split(usize),
}

#[derive(Default)]
pub struct LuaDraft {
    pub main: LuaMain,
    pub init: Option<Arc<Code>>,
}

impl Default for HttpDraft {
    fn default() -> HttpDraft {
        HttpDraft {
            names: Names::default(),
            vars: HashMap::new(),
            maps: Vec::new(),
            geos: Vec::new(),
            splits: Vec::new(),
            limit_reqs: Zones::default(),
            limit_conns: Zones::default(),
            servers: Vec::new(),
            formats: HashMap::new(),
            charsets: HashMap::new(),
            lua: LuaDraft::default(),
            settings: Settings::default(),
            outside: LocationDraft::new(Vec::new(), LocationKind::Server),
        }
    }
}

impl HttpDraft {
    /// A variable that requests keep (`set $name`): its number.
    pub fn define(&mut self, name: &[u8]) -> VarId {
        let id = self.names.id(name);
        self.vars.entry(id).or_insert(Definition::Slot);
        id
    }

    pub fn finish(mut self, codes: usize, warn: &mut dyn FnMut(String)) -> Result<Http, String> {
        let undefined = self.limit_reqs.undefined().or_else(|| self.limit_conns.undefined());
        if let Some(name) = undefined {
            return Err(format!("zero size shared memory zone \"{name}\""));
        }
        let mut slots = 0;
        let mut kinds = Vec::new();
        let mut names = self.names;
        // The log formats and pages that are always there.
        for (number, name) in names.iter().enumerate() {
            let id = VarId::try_from(number).unwrap_or(VarId::MAX);
            kinds.push(match self.vars.get(&id) {
                Some(&Definition::Map { number, volatile }) => VarKind::Map { number, volatile },
                Some(&Definition::Geo { number, volatile }) => VarKind::Geo { number, volatile },
                Some(&Definition::Split(number)) => VarKind::Split(number),
                defined => match (vars::find(name), defined) {
                    // `set $http_x` makes an ordinary variable of it; a built-in one keeps its own storage.
                    (Some(VarKind::Family(..)), Some(_)) => {
                        slots += 1;
                        VarKind::Slot(slots - 1)
                    }
                    (Some(kind), _) => kind,
                    (None, Some(_)) => {
                        slots += 1;
                        VarKind::Slot(slots - 1)
                    }
                    (None, None) => {
                        return Err(format!("unknown \"{}\" variable", String::from_utf8_lossy(name)));
                    }
                },
            });
        }
        let _ = &mut names;
        lua_ssl::merge(&mut self.settings, &Settings::default())?;
        let (mut servers, mut all) = (Vec::new(), Vec::new());
        let mut listens: Vec<Listen> = Vec::new();
        let mut explicit: Vec<bool> = Vec::new();
        for (index, draft) in self.servers.into_iter().enumerate() {
            let mut location = draft.location;
            location.settings.inherit(&self.settings);
            lua_ssl::merge(&mut location.settings, &self.settings)?;
            let children = std::mem::take(&mut location.children);
            let (locations, named) = locations(children, &location.settings, &mut all)?;
            let root = location.finish(&self.settings, &Handler::Files, &mut all)?;
            for listen in &draft.listens {
                let at = match listens.iter().position(|known| known.addr == listen.addr) {
                    Some(at) => at,
                    None => {
                        listens.push(Listen {
                            addr: listen.addr.clone(),
                            backlog: None,
                            proxy_protocol: false,
                            text: listen.text.clone(),
                            servers: Vec::new(),
                            default: index,
                            names: ServerNames::default(),
                        });
                        explicit.push(false);
                        listens.len() - 1
                    }
                };
                if listen.default {
                    if explicit[at] {
                        return Err(format!("a duplicate default server for {}{}", listen.text, listen.place));
                    }
                    explicit[at] = true;
                    listens[at].default = index;
                }
                listens[at].backlog = listens[at].backlog.or(listen.backlog);
                listens[at].proxy_protocol |= listen.proxy_protocol;
                listens[at].servers.push(index);
                let text = listens[at].text.clone();
                for name in &draft.names {
                    if let Some(conflict) = add_name(&mut listens[at].names, name, index) {
                        warn(format!("conflicting server name \"{conflict}\" on {text}, ignored"));
                    }
                }
            }
            let name = match draft.names.first() {
                // (a name for all its subdomains is shown as the domain)
                Some(ServerName::Text(text)) => text.strip_prefix(b".").unwrap_or(text).to_vec(),
                Some(ServerName::Regex(regex)) => format!("~{}", regex.pattern).into_bytes(),
                None => Vec::new(),
            };
            servers.push(Server { name, names: draft.names, root, locations, named });
        }
        let lua = LuaMain { codes, ..self.lua.main };
        let settings = Arc::new(self.settings);
        Ok(Http {
            servers,
            locations: all,
            listens,
            lua,
            names,
            vars: kinds,
            slots,
            maps: self.maps,
            geos: self.geos,
            splits: self.splits,
            charsets: self.charsets,
            settings,
        })
    }
}

/// The name that was taken already.
fn add_name(names: &mut ServerNames, name: &ServerName, server: usize) -> Option<String> {
    let text = match name {
        ServerName::Regex(regex) => {
            names.regexes.push((regex.clone(), server));
            return None;
        }
        ServerName::Text(text) => text,
    };
    let taken = if let Some(rest) = text.strip_prefix(b"*.") {
        push_once(&mut names.leading, [b".", rest].concat(), server)
    } else if let Some(rest) = text.strip_suffix(b".*") {
        push_once(&mut names.trailing, [rest, b"."].concat(), server)
    } else if text.starts_with(b".") {
        push_once(&mut names.leading, text.clone(), server) | insert_once(&mut names.exact, &text[1..], server)
    } else {
        insert_once(&mut names.exact, text, server)
    };
    // Longest first: the most specific wins.
    names.leading.sort_by_key(|(part, _)| std::cmp::Reverse(part.len()));
    names.trailing.sort_by_key(|(part, _)| std::cmp::Reverse(part.len()));
    taken.then(|| String::from_utf8_lossy(text).into_owned())
}

fn push_once(list: &mut Vec<(Vec<u8>, usize)>, part: Vec<u8>, server: usize) -> bool {
    if list.iter().any(|(known, _)| *known == part) {
        return true;
    }
    list.push((part, server));
    false
}

fn insert_once(map: &mut HashMap<Vec<u8>, usize, ahash::RandomState>, name: &[u8], server: usize) -> bool {
    if map.contains_key(name) {
        return true;
    }
    map.insert(name.to_vec(), server);
    false
}

impl MapDraft {
    pub fn add(&mut self, key: &[u8], value: Value) -> Result<(), String> {
        let map = &mut self.map;
        if key == b"default" {
            if map.default.is_some() {
                return Err("duplicate default map parameter".into());
            }
            map.default = Some(value);
            return Ok(());
        }
        if let Some(pattern) = key.strip_prefix(b"~") {
            let (pattern, caseless) = match pattern.strip_prefix(b"*") {
                Some(rest) => (rest, true),
                None => (pattern, false),
            };
            map.regexes.push((super::regex::Regex::new(pattern, caseless)?, value));
            return Ok(());
        }
        let key = key.strip_prefix(b"\\").unwrap_or(key).to_ascii_lowercase();
        if self.hostnames {
            if let Some(rest) = key.strip_prefix(b"*.") {
                map.leading.push(([b".", rest].concat(), value));
                return Ok(());
            }
            if let Some(rest) = key.strip_suffix(b".*") {
                map.trailing.push(([rest, b"."].concat(), value));
                return Ok(());
            }
            if let Some(rest) = key.strip_prefix(b".") {
                map.leading.push((key.clone(), value.clone()));
                map.exact.insert(rest.to_vec(), value);
                return Ok(());
            }
        }
        if map.exact.insert(key.clone(), value).is_some() {
            return Err(format!("conflicting parameter \"{}\"", String::from_utf8_lossy(&key)));
        }
        Ok(())
    }
}
