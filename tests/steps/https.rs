//! Requests over TLS: whose certificates are taken, and that one which is refused never got the request.

use crate::support::authority::Authority;
use crate::support::sandbox::Sandbox;
use crate::support::server::{Asked, Server, Told};

fn fine(_: &Asked) -> Option<Told> {
    Some((200, Vec::new(), "{\"status\": \"healthy\"}".to_owned()))
}

/// A request with a secret that must not be sent twice.
fn sandbox(authority: &Authority, url: &str) -> Sandbox {
    let sandbox = Sandbox::new()
        .variable("TOKEN", "hunter2-long")
        .variable("SSL_CERT_FILE", &authority.path("ca.crt").display().to_string());
    sandbox.plan(&format!(
        "secrets: {{ TOKEN: {{ env: TOKEN }} }}\nsteps:\n- id: s\n  http:\n    method: POST\n    url: {url}/x\n    \
         headers: {{ Authorization: \"Bearer {{{{ secrets.TOKEN }}}}\" }}\n    json: {{ a: 1 }}\n    \
         expect: {{ json: {{ status: healthy }} }}\n    changes: none\n"
    ));
    sandbox
}

#[test]
fn the_companys_own_authority_is_trusted_when_it_is_named() {
    let authority = Authority::new();
    authority.signed("good", "/CN=localhost", Some("DNS:localhost"));
    let server = Server::secure(authority.server("good"), fine);
    sandbox(&authority, &server.url).run("plan.yaml --plain").code(0);
    assert_eq!(server.asked()[0].header("authorization"), Some("Bearer hunter2-long"));
    // Others are not trusted in place of a file that is not there, and nothing is sent.
    let mut missing = sandbox(&authority, &server.url);
    missing.set("SSL_CERT_FILE", "/nowhere/ca.crt");
    missing
        .run("plan.yaml --plain")
        .code(4)
        .says("SSL_CERT_FILE=/nowhere/ca.crt has no certificate to trust");
    assert_eq!(server.asked().len(), 1);
    // Not named, it is nobody's: the request is not sent.
    let mut stranger = sandbox(&authority, &server.url);
    stranger.set("SSL_CERT_FILE", &authority.path("other-ca.crt").display().to_string());
    let refused = stranger.run("plan.yaml --plain").code(4);
    refused.says(
        "is not signed by an authority that this machine trusts; SSL_CERT_FILE=FILE names those to trust",
    );
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_wrong_certificate_is_refused_in_words_and_gets_nothing() {
    let authority = Authority::new();
    authority.signed("named", "/CN=elsewhere", Some("DNS:elsewhere.example"));
    authority.signed_by("ca", "old", "/CN=localhost", Some("DNS:localhost"), "-1");
    authority.signed_by("other-ca", "strange", "/CN=localhost", Some("DNS:localhost"), "30");
    for (name, words) in [
        ("named", "its certificate is for another name: elsewhere.example"),
        ("old", "its certificate has expired, or this machine's clock is wrong"),
        ("strange", "its certificate is not signed by an authority that this machine trusts"),
    ] {
        let server = Server::secure(authority.server(name), fine);
        let sandbox = sandbox(&authority, &server.url);
        sandbox.run("plan.yaml --plain").code(4).says("is not trusted: ").says(words);
        // It certainly changed nothing, though it may not be sent twice.
        assert_eq!(sandbox.step("s"), "failed", "{name}");
        assert_eq!(server.asked().len(), 0, "{name}");
    }
}

#[test]
fn a_server_without_tls_gets_nothing_and_none_is_redirected_to() {
    let authority = Authority::new();
    authority.signed("good", "/CN=localhost", Some("DNS:localhost"));
    let plain = Server::start(|_| Some((200, "{\"status\": \"healthy\"}".to_owned())));
    let url = plain.url.replace("http://127.0.0.1", "https://localhost");
    sandbox(&authority, &url).run("plan.yaml --plain").code(4);
    let away = format!("{}/there", plain.url);
    let server = Server::secure(authority.server("good"), move |_| {
        Some((302, vec![("Location".to_owned(), away.clone())], String::new()))
    });
    let sandbox = sandbox(&authority, &server.url);
    sandbox.plan(&format!("steps:\n- {{ id: s, http: {{ url: \"{}\" }} }}\n", server.url));
    sandbox.run("plan.yaml --plain").code(4).says("redirects from https to an address without it");
    assert!(
        plain.asked().iter().all(|asked| asked.header("authorization").is_none() && asked.path != "/there")
    );
}
