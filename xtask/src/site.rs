//! The site: the frontend as small WASM and JS, the style sheet and `public/`, each with its brotli twin.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;

use brotli::enc::BrotliEncoderParams;
use walrus::Module;
use wasm_bindgen_cli_support::Bindgen;

use crate::places::Places;
use crate::program::{self, Failure};
use crate::tools;

const NAME: &str = "bucket-brigade";

/// The most that a visitor may have to download of the page, in bytes of brotli.
const MOST_WEIGHT: u64 = 70_000;
/// What of the WASM's exports begins so is for streams of server functions, of which this page has none; as exports they
/// would stay.
const UNUSED_EXPORTS: [&str; 2] = ["intounderlying", "__wbg_intounderlying"];

/// All features that browsers have had since 2022.
const WASM_OPT: [&str; 7] = [
    "-Oz",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-sign-ext",
    "--enable-mutable-globals",
];

/// Builds `<target>/site` when something that goes into it has changed, and prints what a visitor downloads.
///
/// # Errors
/// A missing tool, a compile error, or a file that cannot be read or written.
pub fn build(places: &Places) -> Result<(), Failure> {
    tools::wasm_target()?;
    let shrinkers = tools::shrinkers(places);
    let wasm = compile(places)?;
    let site = places.target.join("site");
    let stamp = places.target.join("site.stamp");
    let inputs = inputs(places, &wasm, shrinkers.as_deref())?;
    let known = fs::read_to_string(&stamp).unwrap_or_default();
    // The second half notices a site that someone else, such as cargo-leptos, has written since.
    if known != format!("{inputs} {}", contents(slice::from_ref(&site))?) {
        assemble(places, &wasm, shrinkers.as_deref(), &site)?;
        let now = format!("{inputs} {}", contents(slice::from_ref(&site))?);
        fs::write(&stamp, now).map_err(Failure::at(&stamp))?;
    }
    weigh(&site, shrinkers.is_some())
}

fn compile(places: &Places) -> Result<PathBuf, Failure> {
    let options =
        ["--package", "frontend", "--target", "wasm32-unknown-unknown", "--profile", "wasm-release"];
    program::run(places.cargo().arg("build").args(options))?;
    Ok(places.target.join("wasm32-unknown-unknown/wasm-release/frontend.wasm"))
}

fn assemble(places: &Places, wasm: &Path, shrinkers: Option<&Path>, site: &Path) -> Result<(), Failure> {
    let work = places.target.join("site.work");
    for folder in [site, &work] {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Failure::at(folder))?;
        }
    }
    copy_folder(&places.workspace.join("public"), site)?;
    bindgen(wasm, &work)?;
    let package = site.join("pkg");
    let style = places.workspace.join("style/main.css");
    let raw = [work.join(format!("{NAME}_bg.wasm")), work.join(format!("{NAME}.js")), style];
    let small = match shrinkers {
        Some(tools) => shrink(tools, &raw, &work)?,
        None => {
            copy_folder(&work.join("snippets"), &package.join("snippets"))?;
            raw
        }
    };
    for file in &small {
        publish(file, &package)?;
    }
    files_below(site)?.iter().try_for_each(|file| compress(file))
}

fn bindgen(wasm: &Path, out: &Path) -> Result<(), Failure> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).out_name(NAME).typescript(false).omit_default_module_path(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    let made = bindgen.web(true).and_then(|bindgen| bindgen.generate(out));
    made.map_err(|error| Failure::new(format!("wasm-bindgen: {error:#}")))
}

/// WASM, JS and CSS made small. esbuild also pulls the snippets of other crates into the one script.
fn shrink(tools: &Path, [wasm, js, css]: &[PathBuf; 3], work: &Path) -> Result<[PathBuf; 3], Failure> {
    let small = ["small.wasm", "small.js", "small.css"].map(|name| work.join(name));
    drop_unused(wasm)?;
    program::run(Command::new(tools.join("wasm-opt")).args(WASM_OPT).arg(wasm).arg("-o").arg(&small[0]))?;
    let esbuild = |input: &Path, output: &Path, options: &[&str]| {
        let mut command = Command::new(tools.join("esbuild"));
        command.arg(input).args(["--minify", "--log-level=warning"]).args(options);
        program::run(command.arg(format!("--outfile={}", output.display())))
    };
    esbuild(js, &small[1], &["--bundle", "--format=esm"])?;
    esbuild(css, &small[2], &[])?;
    Ok(small)
}

fn drop_unused(wasm: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("{}: {error:#}", wasm.display()));
    let mut module = Module::from_file(wasm).map_err(failed)?;
    let is_unused = |name: &str| UNUSED_EXPORTS.iter().any(|start| name.starts_with(start));
    let unused: Vec<_> =
        module.exports.iter().filter(|export| is_unused(&export.name)).map(|export| export.id()).collect();
    unused.into_iter().for_each(|export| module.exports.delete(export));
    module.emit_wasm_file(wasm).map_err(failed)
}

/// Copies a file under a name that changes with its content, so that browsers may keep it for ever.
fn publish(file: &Path, package: &Path) -> Result<(), Failure> {
    let bytes = fs::read(file).map_err(Failure::at(file))?;
    let kind = file.extension().unwrap_or_default().to_string_lossy();
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    write(&package.join(format!("{NAME}.{:016x}.{kind}", hasher.finish())), &bytes)
}

fn compress(file: &Path) -> Result<(), Failure> {
    let bytes = fs::read(file).map_err(Failure::at(file))?;
    let mut small = Vec::new();
    let options = BrotliEncoderParams { quality: 11, size_hint: bytes.len(), ..Default::default() };
    brotli::BrotliCompress(&mut bytes.as_slice(), &mut small, &options).map_err(Failure::at(file))?;
    let mut name = file.as_os_str().to_owned();
    name.push(".br");
    write(Path::new(&name), &small)
}

/// Everything the site is made of, in one number; this recipe is part of it.
fn inputs(places: &Places, wasm: &Path, shrinkers: Option<&Path>) -> Result<String, Failure> {
    let mut files = vec![wasm.to_owned(), places.workspace.join("style"), places.workspace.join("public")];
    files.extend(shrinkers.map(|_| places.target.join("tools/package-lock.json")));
    let mut hasher = DefaultHasher::new();
    (contents(&files)?, include_str!("site.rs")).hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

fn contents(paths: &[PathBuf]) -> Result<String, Failure> {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        for file in files_below(path)? {
            (&file, fs::read(&file).map_err(Failure::at(&file))?).hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// All files in a folder and below, sorted; the path itself when it is a file; none when it is not there.
fn files_below(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(if path.is_file() { vec![path.to_owned()] } else { Vec::new() });
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(Failure::at(path))? {
        files.extend(files_below(&entry.map_err(Failure::at(path))?.path())?);
    }
    files.sort();
    Ok(files)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    for file in files_below(from)? {
        let below = file.strip_prefix(from).map_err(|error| Failure::new(error.to_string()))?;
        write(&to.join(below), &fs::read(&file).map_err(Failure::at(&file))?)?;
    }
    Ok(())
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(Failure::at(folder))?;
    }
    fs::write(file, bytes).map_err(Failure::at(file))
}

/// Prints what the page weighs; it is too much above the limit, unless the tools that make it small are missing.
fn weigh(site: &Path, is_small: bool) -> Result<(), Failure> {
    let files = files_below(&site.join("pkg"))?;
    let mut sum = (0, 0);
    println!("page weight      bytes     brotli");
    for kind in ["wasm", "js", "css"] {
        let size = |ending: &str| -> u64 {
            let of_kind = files.iter().filter(|file| file.to_string_lossy().ends_with(ending));
            of_kind.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
        };
        let (plain, brotli) = (size(&format!(".{kind}")), size(&format!(".{kind}.br")));
        sum = (sum.0 + plain, sum.1 + brotli);
        println!("  {:<10} {plain:>9}  {brotli:>9}", kind.to_uppercase());
    }
    println!("  {:<10} {:>9}  {:>9}  of at most {MOST_WEIGHT}", "together", sum.0, sum.1);
    if is_small && sum.1 > MOST_WEIGHT {
        return Err(Failure::new(format!(
            "the page weighs {} bytes of brotli: {MOST_WEIGHT} is the most",
            sum.1
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_notices_every_change_of_a_folder() {
        let folder = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        let stamp = || contents(slice::from_ref(&folder)).unwrap();
        let mut seen = vec![stamp()];
        write(&folder.join("deep/a.css"), b"a").unwrap();
        seen.push(stamp());
        assert_eq!(seen[1], stamp());
        write(&folder.join("deep/a.css"), b"b").unwrap();
        seen.push(stamp());
        fs::rename(folder.join("deep/a.css"), folder.join("a.css")).unwrap();
        seen.push(stamp());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(seen[0], stamp());
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn a_published_name_changes_with_the_content() {
        let folder = std::env::temp_dir().join(format!("xtask-publish-{}", std::process::id()));
        let (source, package) = (folder.join("small.css"), folder.join("pkg"));
        for content in ["a", "b", "a"] {
            write(&source, content.as_bytes()).unwrap();
            publish(&source, &package).unwrap();
        }
        let names = files_below(&package).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names.len(), 2);
        assert!(names.iter().all(|name| name.to_string_lossy().ends_with(".css")));
    }
}
