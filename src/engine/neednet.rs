//! Whether carrying out a config takes the network: what fetch-offline asks (spec/fetch.md 7). Pure.

use crate::config::types::{Config, Resource};
use crate::fetch::source::needs_net;
use crate::report::Pointer;

/// The first place of a config that needs the network; `None` if nothing does.
pub fn needed_for(config: &Config) -> Option<Pointer> {
    let mut resources = resources(config);
    if let Some((at, _)) = resources.find(|(_, resource)| {
        resource
            .source
            .as_ref()
            .is_some_and(|source| needs_net(source.reveal()))
    }) {
        return Some(at.key("source"));
    }
    for (index, luks) in config.storage.luks.iter().enumerate() {
        let clevis = Pointer::root()
            .key("storage")
            .key("luks")
            .index(index)
            .key("clevis");
        let silent = luks
            .clevis
            .tang
            .iter()
            .position(|tang| tang.advertisement.as_deref().is_none_or(str::is_empty));
        if let Some(tang) = silent {
            return Some(clevis.key("tang").index(tang));
        }
        if luks.clevis.custom.needs_network == Some(true) {
            return Some(clevis.key("custom").key("needsNetwork"));
        }
    }
    None
}

/// Every resource of a config with its place, in the config's order.
pub fn resources(config: &Config) -> impl Iterator<Item = (Pointer, &Resource)> {
    let ignition = Pointer::root().key("ignition");
    let references = ignition.key("config");
    let authorities = ignition.key("security").key("tls").key("certificateAuthorities");
    let files = Pointer::root().key("storage").key("files");
    let luks = Pointer::root().key("storage").key("luks");
    let merge = references.key("merge");
    let merged = config
        .ignition
        .config
        .merge
        .iter()
        .enumerate()
        .map(move |(index, resource)| (merge.index(index), resource));
    let replaced = std::iter::once((references.key("replace"), &config.ignition.config.replace));
    let trusted = config
        .ignition
        .security
        .tls
        .certificate_authorities
        .iter()
        .enumerate()
        .map(move |(index, resource)| (authorities.index(index), resource));
    let contents = config
        .storage
        .files
        .iter()
        .enumerate()
        .flat_map(move |(index, file)| {
            let at = files.index(index);
            let append = at.key("append");
            std::iter::once((at.key("contents"), &file.contents)).chain(
                file.append
                    .iter()
                    .enumerate()
                    .map(move |(index, resource)| (append.index(index), resource)),
            )
        });
    let keys = config
        .storage
        .luks
        .iter()
        .enumerate()
        .map(move |(index, volume)| (luks.index(index).key("keyFile"), &volume.key_file));
    merged.chain(replaced).chain(trusted).chain(contents).chain(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::{ClevisCustom, File, Luks, Tang};

    fn remote() -> Resource {
        Resource {
            source: Some("http://h/x".into()),
            ..Resource::default()
        }
    }

    fn local() -> Resource {
        Resource {
            source: Some("data:,x".into()),
            ..Resource::default()
        }
    }

    fn needed(change: impl FnOnce(&mut Config)) -> Option<String> {
        let mut config = Config::default();
        change(&mut config);
        needed_for(&config).map(|at| at.to_string())
    }

    #[test]
    fn resources_everywhere_count() {
        assert_eq!(needed(|_| ()), None);
        let file = |contents, append| File {
            append,
            contents,
            ..File::default()
        };
        let luks = |key_file| Luks {
            key_file,
            ..Luks::default()
        };
        assert_eq!(
            needed(|config| {
                config.ignition.config.merge = vec![local()];
                config.ignition.config.replace = local();
                config.ignition.security.tls.certificate_authorities = vec![local()];
                config.storage.files = vec![file(local(), vec![local(), Resource::default()])];
                config.storage.luks = vec![luks(local())];
            }),
            None
        );
        let at = |change: &dyn Fn(&mut Config)| needed(|config| change(config)).unwrap();
        let replace = at(&|config| config.ignition.config.replace = remote());
        assert_eq!(replace, "ignition.config.replace.source");
        let merge = at(&|config| config.ignition.config.merge = vec![local(), remote()]);
        assert_eq!(merge, "ignition.config.merge[1].source");
        let authority = at(&|config| config.ignition.security.tls.certificate_authorities = vec![remote()]);
        assert_eq!(
            authority,
            "ignition.security.tls.certificateAuthorities[0].source"
        );
        let contents = at(&|config| config.storage.files = vec![file(remote(), vec![])]);
        assert_eq!(contents, "storage.files[0].contents.source");
        let append = at(&|config| config.storage.files = vec![file(local(), vec![local(), remote()])]);
        assert_eq!(append, "storage.files[0].append[1].source");
        let key = at(&|config| config.storage.luks = vec![luks(local()), luks(remote())]);
        assert_eq!(key, "storage.luks[1].keyFile.source");
        let oem = at(&|config| {
            let source = Some("oem:///x".into());
            config.storage.files = vec![file(Resource { source, ..local() }, vec![])];
        });
        assert_eq!(oem, "storage.files[0].contents.source");
    }

    #[test]
    fn tang_without_advertisement_and_custom_pins_count() {
        let with = |tang: Vec<Option<&str>>, needs_network| {
            needed(|config| {
                let mut luks = Luks::default();
                luks.clevis.tang = tang
                    .into_iter()
                    .map(|advertisement| Tang {
                        advertisement: advertisement.map(str::to_owned),
                        ..Tang::default()
                    })
                    .collect();
                luks.clevis.custom = ClevisCustom {
                    needs_network,
                    ..ClevisCustom::default()
                };
                config.storage.luks = vec![luks];
            })
        };
        assert_eq!(with(vec![Some("{}")], Some(false)), None);
        assert_eq!(
            with(vec![Some("{}"), None], None).unwrap(),
            "storage.luks[0].clevis.tang[1]"
        );
        assert_eq!(
            with(vec![Some("")], None).unwrap(),
            "storage.luks[0].clevis.tang[0]"
        );
        assert_eq!(
            with(vec![], Some(true)).unwrap(),
            "storage.luks[0].clevis.custom.needsNetwork"
        );
    }
}
