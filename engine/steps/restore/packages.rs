//! Where a server gets an extension from that it does not have: the package of Debian and its like, which the project's own
//! repository (apt.postgresql.org) names the same way. Names packages; asks and installs nothing.

/// What PostgreSQL's own sources bring; Debian has it in the server's package, others in one of its own.
const CONTRIB: [&str; 44] = [
    "adminpack",
    "amcheck",
    "autoinc",
    "bloom",
    "bool_plperl",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dblink",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "file_fdw",
    "fuzzystrmatch",
    "hstore",
    "insert_username",
    "intarray",
    "isn",
    "lo",
    "ltree",
    "moddatetime",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_surgery",
    "pg_trgm",
    "pg_visibility",
    "pg_walinspect",
    "pgcrypto",
    "pgrowlocks",
    "pgstattuple",
    "postgres_fdw",
    "refint",
    "seg",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
];

/// Extensions whose package has another name; `N` stands for the server's major version.
const PACKAGES: [(&str, &str); 19] = [
    ("address_standardizer", "postgresql-N-postgis-3"),
    ("h3", "postgresql-N-h3"),
    ("hll", "postgresql-N-hll"),
    ("pg_cron", "postgresql-N-cron"),
    ("pg_partman", "postgresql-N-partman"),
    ("pg_repack", "postgresql-N-repack"),
    ("pgaudit", "postgresql-N-pgaudit"),
    ("pgrouting", "postgresql-N-pgrouting"),
    ("plperl", "postgresql-plperl-N"),
    ("plperlu", "postgresql-plperl-N"),
    ("plpython3u", "postgresql-plpython3-N"),
    ("pltcl", "postgresql-pltcl-N"),
    ("pltclu", "postgresql-pltcl-N"),
    ("postgis", "postgresql-N-postgis-3"),
    ("postgis_raster", "postgresql-N-postgis-3"),
    ("postgis_sfcgal", "postgresql-N-postgis-3"),
    ("postgis_tiger_geocoder", "postgresql-N-postgis-3"),
    ("postgis_topology", "postgresql-N-postgis-3"),
    ("vector", "postgresql-N-pgvector"),
];

/// What to do about extensions that a server of that version does not have.
pub fn mending(major: u32, names: &[String]) -> String {
    let mut known: Vec<String> = Vec::new();
    let mut unknown: Vec<&str> = Vec::new();
    for name in names {
        let package = PACKAGES.iter().find(|(extension, _)| extension == name);
        let package = package.map(|(_, package)| package.replace('N', &major.to_string()));
        match package.or_else(|| CONTRIB.contains(&name.as_str()).then(|| "postgresql-contrib".to_owned())) {
            Some(package) if known.contains(&package) => {}
            Some(package) => known.push(package),
            None => unknown.push(name),
        }
    }
    let mut parts = Vec::new();
    if !known.is_empty() {
        parts.push(format!("on the server (Debian): apt-get install {}", known.join(" ")));
    }
    for name in unknown {
        let word = name.replace('_', "-");
        let word = word.strip_prefix("pg-").unwrap_or(&word);
        parts.push(format!(
            "install the package of {name} on the server (Debian: apt-cache search postgresql-{major} | grep -i {word})"
        ));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_extension_is_given_its_package_or_the_way_to_find_it() {
        let of =
            |names: &[&str]| mending(16, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            of(&["postgis", "postgis_topology", "vector", "hstore"]),
            "on the server (Debian): apt-get install postgresql-16-postgis-3 postgresql-16-pgvector postgresql-contrib"
        );
        assert_eq!(
            of(&["plperl", "pg_own_thing"]),
            "on the server (Debian): apt-get install postgresql-plperl-16; install the package of pg_own_thing on the \
             server (Debian: apt-cache search postgresql-16 | grep -i own-thing)"
        );
    }
}
