//! What Python calls. The interpreter is released while bytes are checked and hashed.

use std::panic::{catch_unwind, AssertUnwindSafe};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::seal::{acknowledge as write_acknowledgements, salts_of, seal as seal_drafts, Draft, SALT_SIZE};
use crate::strict::event_id_of;
use crate::tree::{hash_leaf, CompactRange, Hash};

/// Raised by one with each change of what a function takes, returns or means.
const INTERFACE: u32 = 1;

/// More than any commit has.
const MAX_ENTRIES: usize = 1 << 16;

/// More than any section or prefix has.
const MAX_BYTES: usize = 1 << 17;

type Bytes<'py> = Bound<'py, PyBytes>;
type Sealed<'py> = (
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Bytes<'py>,
    Bytes<'py>,
    Bytes<'py>,
    Bytes<'py>,
);

/// Returns the event id of each pair of sections that is surely good, and None for the others.
///
/// Sections come from clients, so one of any size has an answer: too large is not good.
#[pyfunction]
fn check<'py>(py: Python<'py>, pairs: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let (events, personals) = (columns(pairs, 0)?, columns(pairs, 1)?);
    let sections: Vec<_> = slices(&events).zip(slices(&personals)).collect();
    let ids = released(py, || {
        sections
            .iter()
            .map(|(event, personal)| event_id_of(event, personal))
            .collect::<Vec<_>>()
    })?;
    PyList::new(py, ids.into_iter().map(|id| id.map(|id| PyBytes::new(py, id))))
}

/// Seals entries in a chain and adds them to a tree.
///
/// Returns leaves, salted event sections, salted personal sections (empty for none), stored hashes, hash of the last
/// leaf, frontier and root.
#[pyfunction]
fn seal<'py>(
    py: Python<'py>,
    entries: &Bound<'py, PyList>,
    prefixes: &Bound<'py, PyList>,
    salts: &[u8],
    previous: &[u8],
    tree_size: u64,
    frontier: &[u8],
) -> PyResult<Sealed<'py>> {
    let (events, personals) = (columns(entries, 1)?, columns(entries, 2)?);
    let prefixes = all_bytes(prefixes)?;
    if [&events, &personals, &prefixes]
        .into_iter()
        .any(|column| slices(column).any(|value| value.len() > MAX_BYTES))
    {
        return Err(wrong("a value is larger than any section"));
    }
    if prefixes.len() != events.len() || salts.len() != 2 * SALT_SIZE * events.len() {
        return Err(wrong("there is one prefix and two salts for each entry"));
    }
    let previous: Hash = previous.try_into().map_err(|_| wrong("a leaf hash has 32 bytes"))?;
    let mut tree = tree_of(tree_size, frontier)?;
    let drafts: Vec<_> = slices(&prefixes)
        .zip(slices(&events).zip(slices(&personals)))
        .map(|(prefix, (event, personal))| Draft {
            prefix,
            event,
            personal,
        })
        .collect();
    let (sealed, root) = released(py, || {
        let sealed = seal_drafts(&drafts, salts, previous, &mut tree);
        (sealed, tree.root())
    })?;
    let mut salted_events = Vec::with_capacity(drafts.len());
    let mut salted_personals = Vec::with_capacity(drafts.len());
    for (position, draft) in drafts.iter().enumerate() {
        let (event_salt, personal_salt) = salts_of(salts, position);
        salted_events.push(joined(py, event_salt, draft.event)?);
        salted_personals.push(if draft.personal.is_empty() {
            PyBytes::new(py, b"")
        } else {
            joined(py, personal_salt, draft.personal)?
        });
    }
    Ok((
        PyList::new(py, sealed.leaves.iter().map(|leaf| PyBytes::new(py, leaf)))?,
        PyList::new(py, salted_events)?,
        PyList::new(py, salted_personals)?,
        PyBytes::new(py, &sealed.hashes),
        PyBytes::new(py, &sealed.last_leaf_hash),
        PyBytes::new(py, &tree.packed()),
        PyBytes::new(py, &root),
    ))
}

/// Returns the root of a tree after more leaves.
#[pyfunction]
fn derive_root<'py>(
    py: Python<'py>,
    leaves: &Bound<'py, PyList>,
    tree_size: u64,
    frontier: &[u8],
) -> PyResult<Bytes<'py>> {
    let leaves = all_bytes(leaves)?;
    let mut tree = tree_of(tree_size, frontier)?;
    let slices: Vec<_> = slices(&leaves).collect();
    let root = released(py, || {
        let mut stored = Vec::new();
        for leaf in &slices {
            stored.clear();
            tree.push(hash_leaf(leaf), &mut stored);
        }
        tree.root()
    })?;
    Ok(PyBytes::new(py, &root))
}

/// Returns the acknowledgements of appended entries as part of a serialised AppendBatchResponse.
#[pyfunction]
fn acknowledge<'py>(
    py: Python<'py>,
    first_index: u64,
    leaves: &Bound<'py, PyList>,
    event_sections: &Bound<'py, PyList>,
    personal_sections: &Bound<'py, PyList>,
) -> PyResult<Bytes<'py>> {
    let leaves = all_bytes(leaves)?;
    let events = all_bytes(event_sections)?;
    let personals = all_bytes(personal_sections)?;
    if leaves.len() != events.len() || leaves.len() != personals.len() || first_index >= 1 << 63 {
        return Err(wrong("columns have one row for each entry"));
    }
    let rows = slices(&leaves)
        .zip(slices(&events).zip(slices(&personals)))
        .map(|(leaf, (event, personal))| (leaf, salt_of(event), salt_of(personal)));
    Ok(PyBytes::new(py, &write_acknowledgements(first_index, rows)))
}

fn joined<'py>(py: Python<'py>, salt: &[u8], section: &[u8]) -> PyResult<Bytes<'py>> {
    PyBytes::new_with(py, salt.len() + section.len(), |bytes| {
        let (begin, end) = bytes.split_at_mut(salt.len());
        begin.copy_from_slice(salt);
        end.copy_from_slice(section);
        Ok(())
    })
}

fn salt_of(section: &[u8]) -> &[u8] {
    &section[..section.len().min(SALT_SIZE)]
}

/// Does work on bytes without the interpreter; a panic becomes an exception like any other.
fn released<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    py.detach(|| catch_unwind(AssertUnwindSafe(work)))
        .map_err(|_| PyRuntimeError::new_err("the native kernel failed; this is a fault of its code"))
}

fn tree_of(tree_size: u64, frontier: &[u8]) -> PyResult<CompactRange> {
    CompactRange::new(tree_size, frontier).ok_or_else(|| wrong("tree size and frontier do not fit together"))
}

/// Returns one element of each tuple of a list.
fn columns<'py>(rows: &Bound<'py, PyList>, place: usize) -> PyResult<Vec<Bytes<'py>>> {
    bounded(rows.len())?;
    rows.iter()
        .map(|row| Ok(row.cast::<PyTuple>()?.get_item(place)?.cast_into()?))
        .collect()
}

fn all_bytes<'py>(values: &Bound<'py, PyList>) -> PyResult<Vec<Bytes<'py>>> {
    bounded(values.len())?;
    values.iter().map(|value| Ok(value.cast_into()?)).collect()
}

fn bounded(count: usize) -> PyResult<()> {
    if count > MAX_ENTRIES {
        return Err(wrong("there are more entries than any commit has"));
    }
    Ok(())
}

fn slices<'a>(values: &'a [Bytes<'_>]) -> impl Iterator<Item = &'a [u8]> {
    values.iter().map(|value| value.as_bytes())
}

fn wrong(message: &str) -> PyErr {
    PyValueError::new_err(message.to_owned())
}

#[pymodule]
mod logproof_native {
    use super::PyResult;
    use pyo3::prelude::*;
    use pyo3::types::PyModule;

    #[pymodule_export]
    use super::{acknowledge, check, derive_root, seal};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("INTERFACE", super::INTERFACE)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
