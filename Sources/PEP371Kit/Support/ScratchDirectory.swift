internal import Glibc

/// A private directory for the files of a run, gone with everything in it when `remove` is called.
package struct ScratchDirectory: Sendable {
    package let path: String

    /// Makes a new directory under `TMPDIR`, or `/tmp`, that only this user may enter.
    package init() throws(BenchmarkError) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? ""
        var template = Array(((parent.isEmpty ? "/tmp" : parent) + "/pep371-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            throw BenchmarkError.errno("make a temporary directory in \(parent.isEmpty ? "/tmp" : parent)")
        }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    package func file(_ name: String) -> String {
        path + "/" + name
    }

    /// Removes the directory and its files; it has no sub-directories except Python's byte code cache.
    package func remove() {
        removeTree(path)
    }
}

private func removeTree(_ path: String) {
    if let directory = opendir(path) {
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name == "." || name == ".." { continue }
            let child = path + "/" + name
            // `unlink` first: it never follows a symbolic link out of the directory.
            if unlink(child) != 0 && errno == EISDIR { removeTree(child) }
        }
        closedir(directory)
    }
    rmdir(path)
}
