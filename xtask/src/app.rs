//! `cargo xtask app new`: a new app, complete and working, to be changed into what it shall be.
//!
//! The template is `apps/template`, a member of the workspace like any other app, so its own tests say that it works. A copy in `apps/` is a member
//! as well. A copy elsewhere is a workspace of its own: what the members inherit is written out in its manifest, and it starts with a copy of
//! the lock file, so that it is built with the very versions that are tested here.

mod name;

use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use name::Name;
use std::{
    env, fs,
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

/// Chores about apps.
#[derive(Subcommand)]
pub(crate) enum Chore {
    /// Write a new app: logic, tests, manifest.
    New {
        /// Its name: of the crate, and in camel case of the type.
        name: String,

        /// The folder to write it to; `apps/<name>` if none is given. Anywhere else it is a workspace of its own.
        #[arg(long)]
        path: Option<PathBuf>,
    },
}

/// A file to be written: its path in the crate's folder, and its text.
type File = (PathBuf, String);

pub(crate) fn run(chore: &Chore) -> Result<()> {
    let Chore::New { name, path } = chore;
    let name = Name::parse(name)?;
    let workspace = Workspace::read(None)?;
    if let Some(manifest) = workspace.manifest_of(name.krate()) {
        anyhow::bail!("there is a crate `{}` already, in {manifest}; choose another name", name.krate());
    }
    let apps = workspace.root.join("apps");
    let folder = match path {
        // Cargo runs us where the user is.
        Some(path) => lexically(&env::current_dir().context("asking for the current folder")?.join(path)),
        None => apps.join(name.krate()),
    };
    let is_member = folder.parent() == Some(&apps);
    let files = render(&workspace.root, &name, is_member)?;
    write(&folder, &files)?;
    format(&workspace.root, &folder, &files);

    let shown = folder.strip_prefix(&workspace.root).unwrap_or(&folder).display();
    println!(
        "created    {shown}: {}",
        files.iter().map(|(path, _)| path.to_string_lossy()).collect::<Vec<_>>().join(", ")
    );
    if is_member {
        println!("test it    cargo test --package {}", name.krate());
        println!("build it   cargo xtask contract --package {}", name.krate());
    } else {
        println!("test it    cd {shown} && cargo test");
        println!("build it   cd {shown} && cargo xtask contract --manifest-path Cargo.toml");
    }
    println!("guide      docs/apps.md");
    Ok(())
}

/// The template's files with the new name in them.
fn render(root: &Path, name: &Name, is_member: bool) -> Result<Vec<File>> {
    let template = root.join("apps/template");
    let mut files = Vec::new();
    for path in ["Cargo.toml", "src/lib.rs", "tests/template.rs"] {
        let text = read(&template.join(path))?;
        let text = match path {
            "Cargo.toml" => manifest(root, &text, name, is_member)?,
            _ => text.replace("Template", name.camel()).replace("template", name.library()),
        };
        files.push((path.replace("template", name.library()).into(), text));
    }
    if !is_member {
        files.push(("Cargo.lock".into(), read(&root.join("Cargo.lock"))?));
        files.push((".gitignore".into(), "/target\n".to_owned()));
        files.push((".cargo/config.toml".into(), chores(root)?));
    }
    Ok(files)
}

/// The template's manifest with the new name in it, and outside the workspace with everything written out that members inherit.
fn manifest(root: &Path, template: &str, name: &Name, is_member: bool) -> Result<String> {
    let mut lines: Vec<String> = template
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("name", _)) => format!("name = \"{}\"", name.krate()),
            Some(("description", _)) => "description = \"A contract inside a channel.\"".to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    if !is_member {
        let shared = read(&root.join("Cargo.toml"))?;
        lines = lines.iter().filter_map(|line| written_out(root, &shared, line).transpose()).collect::<Result<_>>()?;
        lines.push("\n[workspace]\n".to_owned());
        lines.push("# How `cargo xtask contract` builds it: small first.".to_owned());
        lines.extend(section(&shared, "[profile.contract]").map(str::to_owned));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// A line of a member's manifest as it reads without the workspace; none where it falls away.
fn written_out(root: &Path, shared: &str, line: &str) -> Result<Option<String>> {
    let Some((key, inherits)) = line.split_once(".workspace = ").or_else(|| line.split_once(" = { workspace = true"))
    else {
        return Ok(Some(line.to_owned()));
    };
    if key == "license" {
        return Ok(None);
    }
    let start = format!("{key} = ");
    let said = shared.lines().find_map(|line| line.strip_prefix(&start));
    let said = said.with_context(|| format!("the workspace's manifest does not say `{key}`"))?;
    let mut said = said.to_owned();
    if let Some((before, after)) = said.split_once("path = \"") {
        said = format!("{before}path = \"{}/{after}", escaped(root)?);
    }
    // `{ workspace = true, features = [..] }`: what it says beside is kept.
    if let Some(more) = inherits.strip_prefix(", ") {
        said = format!("{}, {more}", said.trim_end_matches([' ', '}']));
    }
    Ok(Some(format!("{start}{said}")))
}

/// Lets `cargo xtask` be called in the app's folder.
fn chores(root: &Path) -> Result<String> {
    let checkout = escaped(root)?;
    let words = ["run", "--quiet", "--manifest-path", &format!("{checkout}/Cargo.toml"), "--package", "xtask", "--"];
    Ok(format!(
        "# The chores of the checkout that the app is built with.\n[alias]\nxtask = [\"{}\"]\n",
        words.join("\", \"")
    ))
}

/// A path as it stands between quotes in a manifest.
fn escaped(path: &Path) -> Result<String> {
    let path = path.to_str().context("the checkout's path is not UTF-8")?;
    Ok(path.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The lines of one section of a manifest, its head included.
fn section<'a>(manifest: &'a str, head: &'a str) -> impl Iterator<Item = &'a str> {
    let mut lines = manifest.lines().skip_while(move |line| *line != head);
    lines.next().into_iter().chain(lines.take_while(|line| !line.is_empty() && !line.starts_with('[')))
}

/// Writes the files into a folder that is new or empty.
fn write(folder: &Path, files: &[File]) -> Result<()> {
    let is_free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !folder.exists(),
    };
    ensure!(is_free, "{} is there already; choose another name, or another folder with --path", folder.display());
    for (path, text) in files {
        let path = folder.join(path);
        let parent = path.parent().context("a file lies in a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// A longer or shorter name breaks lines elsewhere. Where there is no rustfmt they stay as they are.
fn format(root: &Path, folder: &Path, files: &[File]) {
    let sources =
        files.iter().map(|(path, _)| folder.join(path)).filter(|path| path.extension() == Some("rs".as_ref()));
    let _formatted_or_not = Command::new("rustfmt")
        .args(["--edition", "2021", "--config-path"])
        .arg(root)
        .args(sources)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// The path without `.` and `..`, which need not exist yet.
fn lexically(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                let _was_there = whole.pop();
            }
            other => whole.push(other),
        }
    }
    whole
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
    }

    fn rendered(is_member: bool) -> Vec<File> {
        render(&root(), &Name::parse("piggy-bank").unwrap(), is_member).unwrap()
    }

    fn text_of<'a>(files: &'a [File], path: &str) -> &'a str {
        &files.iter().find(|file| file.0 == Path::new(path)).unwrap().1
    }

    #[test]
    fn the_new_app_has_the_new_name_everywhere() {
        let files = rendered(true);
        let paths: Vec<_> = files.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(paths, ["Cargo.toml", "src/lib.rs", "tests/piggy_bank.rs"]);
        for (path, text) in &files {
            assert!(!text.to_lowercase().contains("template"), "{}", path.display());
        }
        assert!(text_of(&files, "Cargo.toml").contains("name = \"piggy-bank\"\n"));
        assert!(text_of(&files, "src/lib.rs").contains("app_kit::shell!(crate::PiggyBank);"));
        assert!(
            text_of(&files, "tests/piggy_bank.rs").contains("use piggy_bank::{Creation, Error, Input, PiggyBank};")
        );
    }

    #[test]
    fn a_member_differs_from_the_template_in_its_names_only() {
        let template = read(&root().join("apps/template/Cargo.toml")).unwrap();
        let files = rendered(true);
        let differ = template.lines().zip(text_of(&files, "Cargo.toml").lines()).filter(|(old, new)| old != new);
        let keys: Vec<_> = differ.map(|(old, _)| old.split(' ').next().unwrap()).collect();
        assert_eq!(keys, ["name", "description"]);
    }

    #[test]
    fn an_app_elsewhere_inherits_nothing() {
        let files = rendered(false);
        let manifest = text_of(&files, "Cargo.toml");
        assert!(!manifest.contains("workspace = true"), "{manifest}");
        let package = "app-kit = { package = \"ink-state-channels-app-kit\", path = \"";
        let kit =
            format!("{package}{}/apps/kit\", version = \"0.1.0\", default-features = false }}\n", root().display());
        assert!(manifest.contains(&kit), "{manifest}");
        for line in ["version = \"0.1.0\"", "[workspace]", "[profile.contract]", "overflow-checks = true"] {
            assert!(manifest.lines().any(|said| said == line), "{line} in {manifest}");
        }
        let xtask =
            format!("\"--manifest-path\", \"{}/Cargo.toml\", \"--package\", \"xtask\", \"--\"]", root().display());
        assert!(text_of(&files, ".cargo/config.toml").contains(&xtask));
    }

    /// Not compiled, which would take minutes: the template is, and Cargo says here whether what surrounds it fits.
    #[test]
    fn cargo_finds_everything_that_an_app_elsewhere_needs() {
        let folder = TempDir::new().unwrap();
        write(folder.path(), &rendered(false)).unwrap();
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["tree", "--offline", "--edges", "normal,build,dev", "--depth", "1"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let (tree, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{errors}");
        for needed in ["piggy-bank v0.1.0", "app-kit v0.1.0", "ink v5.1.1", "proptest v1"] {
            assert!(tree.contains(needed), "{needed} in {tree}");
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_left_alone() {
        let folder = TempDir::new().unwrap();
        let own = folder.path().join("notes");
        fs::write(&own, "mine").unwrap();
        let error = write(folder.path(), &rendered(true)).unwrap_err().to_string();
        assert!(error.contains("is there already") && error.contains("--path"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // Nor is a file taken for a folder.
        assert!(write(&own, &rendered(true)).unwrap_err().to_string().contains("is there already"));
        write(&folder.path().join("deep/er"), &rendered(true)).unwrap();
    }

    #[test]
    fn a_path_is_made_whole_without_asking_the_disk() {
        assert_eq!(lexically(Path::new("/a/b/../c/./d")), Path::new("/a/c/d"));
    }
}
