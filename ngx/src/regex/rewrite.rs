//! Trees that match the same in a way that is cheaper to run: alternatives that begin alike share their beginning,
//! alternatives of one character become a class.
//!
//! The order in which alternatives are tried stays as it was. Lookbehind is left alone: its alternatives may differ in
//! length only at the top.

use super::ast::Node;
use super::charset::CharSet;

pub fn rewrite(node: Node, utf: bool) -> Node {
    let inside = |node: Box<Node>| Box::new(rewrite(*node, utf));
    match node {
        Node::Capture(group, node) => Node::Capture(group, inside(node)),
        Node::Atomic(node) => Node::Atomic(inside(node)),
        Node::Look { behind: false, negative, node, ends } => {
            Node::Look { behind: false, negative, node: inside(node), ends }
        }
        Node::Repeat { node, min, max, kind } => Node::Repeat { node: inside(node), min, max, kind },
        Node::Concat(nodes) => Node::Concat(nodes.into_iter().map(|node| rewrite(node, utf)).collect()),
        Node::Cond { test, yes, no } => Node::Cond { test, yes: inside(yes), no: inside(no) },
        Node::Alt(nodes) => alternatives(nodes, utf),
        other => other,
    }
}

fn alternatives(nodes: Vec<Node>, utf: bool) -> Node {
    let mut groups: Vec<Vec<Node>> = Vec::new();
    for node in nodes {
        match groups.last_mut() {
            Some(group) if head(&group[0]).is_some() && head(&group[0]) == head(&node) => group.push(node),
            _ => groups.push(vec![node]),
        }
    }
    let joined = groups.into_iter().map(|mut group| {
        let first = head(&group[0]).cloned();
        match (group.len(), first) {
            (2.., Some(first)) => {
                let tails = group.into_iter().map(tail).collect();
                Node::Concat(vec![first, alternatives(tails, utf)])
            }
            _ => rewrite(group.remove(0), utf),
        }
    });
    let mut nodes: Vec<Node> = Vec::new();
    for node in joined {
        let joined = match (nodes.last(), class(&node, utf)) {
            (Some(last), Some(more)) => class(last, utf).map(|mut set| {
                set.add_set(&more);
                set.normalise();
                set
            }),
            _ => None,
        };
        match (joined, nodes.last_mut()) {
            (Some(set), Some(last)) => *last = Node::Set(set),
            _ => nodes.push(node),
        }
    }
    if nodes.len() == 1 { nodes.remove(0) } else { Node::Alt(nodes) }
}

/// The character that a node begins with.
fn head(node: &Node) -> Option<&Node> {
    match node {
        Node::Char(..) => Some(node),
        Node::Concat(nodes) => nodes.first().filter(|node| matches!(node, Node::Char(..))),
        _ => None,
    }
}

/// A node without its head.
fn tail(node: Node) -> Node {
    match node {
        Node::Concat(mut nodes) => {
            nodes.remove(0);
            if nodes.len() == 1 { nodes.remove(0) } else { Node::Concat(nodes) }
        }
        _ => Node::Empty,
    }
}

fn class(node: &Node, utf: bool) -> Option<CharSet> {
    match node {
        Node::Char(char, caseless) => {
            let mut set = CharSet::from_ranges(&[(*char, *char)]);
            if *caseless {
                set.fold_case(utf);
            }
            Some(set)
        }
        Node::Set(set) => Some(set.clone()),
        _ => None,
    }
}
