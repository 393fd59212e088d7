//! The set-misc module's directives, and ndk.set_var.

use crate::support::Server;

/// `(what is set, what $v is then)`; `$a` and `$b` are `a b'c` and `7`.
const CASES: &[(&str, &str)] = &[
    ("set_escape_uri $v $a;", "a%20b'c"),
    ("set_unescape_uri $v %41%20;", "A "),
    ("set $v x'y; set_quote_sql_str $v;", "'x\\'y'"),
    ("set_quote_pgsql_str $v \"\u{e9}'\";", "E'\\\\303\\\\251\\''"),
    ("set_quote_json_str $v $a;", "\"a b'c\""),
    ("set_quote_json_str $v '';", "null"),
    ("set_encode_base64 $v $a;", "YSBiJ2M="),
    ("set_decode_base64 $v YSBiJ2M=;", "a b'c"),
    ("set_encode_base64url $v '??>';", "Pz8-"),
    ("set_decode_base64url $v Pz8-;", "??>"),
    ("set_encode_hex $v $a;", "6120622763"),
    ("set_decode_hex $v 6120;", "a "),
    ("set_md5 $v hello;", "5d41402abc4b2a76b9719d911017c592"),
    ("set_sha1 $v hello;", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
    ("set_encode_base32 $v abcde!;", "c5h66p3544======"),
    ("set_base32_padding off; set_encode_base32 $v ab;", "c5h0"),
    ("set_misc_base32_padding off; set_encode_base32 $v ab;", "c5h0"),
    ("set_decode_base32 $v c5h0====;", "ab"),
    ("set_base32_alphabet ABCDEFGHIJKLMNOPQRSTUVWXYZ234567; set_encode_base32 $v ab;", "MFRA===="),
    ("set_base32_alphabet ABCDEFGHIJKLMNOPQRSTUVWXYZ234567; set_decode_base32 $v MFRA;", "ab"),
    ("set_hmac_sha1 $v key text; set_encode_hex $v;", "369e2959eb49450338b212748f77d8ded74847bb"),
    (
        "set_hmac_sha256 $v key text; set_encode_hex $v;",
        "6afa9046a9579cad143a384c1b564b9a250d27d6f6a63f9f20bf3a7594c9e2c6",
    ),
    ("set_if_empty $v $b;", "7"),
    ("set $v 1; set_if_empty $v $b;", "1"),
    ("set_random $v 7 7;", "7"),
    ("set_formatted_gmt_time $v '%%Y';", "%Y"),
];

#[test]
fn every_function() {
    let mut locations = String::new();
    for (number, (set, _)) in CASES.iter().enumerate() {
        let set = set.replace("$a;", "$first;").replace("$b;", "$arg_b;");
        locations
            .push_str(&format!("location = /{number} {{ set_unescape_uri $first $arg_a; {set} return 200 $v; }}\n"));
    }
    let server = Server::start(&format!("server {{ listen 127.0.0.1:PORT; set $v ''; {locations} }}"), &[]);
    for (number, (set, expected)) in CASES.iter().enumerate() {
        assert_eq!(server.body(&format!("/{number}?a=a%20b'c&b=7")), *expected, "{set}\n{}", server.log());
    }
}

#[test]
fn what_changes_from_time_to_time() {
    let server = Server::start(
        "server { listen 127.0.0.1:PORT; set $v '';
            location = /rotate { set_rotate $v 1 3; return 200 $v; }
            location = /from { set $v 2; set_rotate $v 1 3; return 200 $v; }
            location = /random { set_random $v 10 5; return 200 $v; }
            location = /letters { set_secure_random_alphanum $v 64; return 200 $v; }
            location = /small { set_secure_random_lcalpha $v 8; return 200 $v; }
            location = /today { set_local_today $v; return 200 $v; }
            location = /time { set_formatted_local_time $v '%Y-%m-%d'; return 200 $v; }
            location = /bad { set_random $v x 5; return 200 $v; }
            location = /long { set_secure_random_lcalpha $v 65; return 200 $v; }
            location = /hex { set_decode_hex $v abc; return 200 $v; }
            location = /ndk { content_by_lua_block {
                local v = ndk.set_var
                ngx.say(v.set_decode_hex('6120'), v.set_decode_hex('x'), v.set_encode_base64url('??>'), v.set_decode_base64url('Pz8-'))
                ngx.say(v.set_quote_json_str('a\"'), v.set_quote_pgsql_str(\"'\"))
            } } }",
        &[],
    );
    let rotated: String = (0..5).map(|_| server.body("/rotate")).collect();
    assert_eq!(rotated, "12312");
    assert_eq!(server.body("/from"), "3");
    assert!((5..=10).contains(&server.body("/random").parse::<u32>().unwrap()));
    let (one, other, small) = (server.body("/letters"), server.body("/letters"), server.body("/small"));
    assert!(one.len() == 64 && one != other && one.bytes().all(|b| b.is_ascii_alphanumeric()), "{one}");
    assert!(small.len() == 8 && small.bytes().all(|b| b.is_ascii_lowercase()), "{small}");
    let today = server.body("/today");
    assert!(today.len() == 10 && [today, server.body("/today")].contains(&server.body("/time")));
    for path in ["/bad", "/long", "/hex"] {
        assert!(server.get(path).starts_with("HTTP/1.1 500 "), "{path}");
    }
    assert!(server.log().contains("set_random: bad \"from\" argument: x"), "{}", server.log());
    assert!(server.log().contains("set_random: bad \"length\" argument: 65"));
    assert_eq!(server.body("/ndk"), "a nilPz8-??>\n\"a\\\"\"E'\\''\n");
}
