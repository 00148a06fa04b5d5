internal import _MultiprocessingShims

// Reading from memory that another process may be writing to.
//
// The bytes of a message may lie in shared memory, and whoever sent them may scribble over them while they are read. So:
// - what memory safety depends on (lengths, counts, tags, element tags) is loaded once, by `loadOnce`, into a local
//   variable, and that copy is what is checked and used; a second read of the same place is a new, unchecked value;
// - what is checked by content (UTF-8, the bytes of Bools) is first copied into private memory, and the copy is checked;
// - positions that were found by an earlier pass are checked against their container's end again when they are used.
// A writer can thus only cause another value or an error.

/// Loads a value that is used to find or bound other reads; the compiler does not repeat the load.
@inline(__always)
func loadOnce(_ type: UInt8.Type, _ address: UnsafeRawPointer) -> UInt8 { mp_load_once_u8(address) }

@inline(__always)
func loadOnce(_ type: UInt32.Type, _ address: UnsafeRawPointer) -> UInt32 { mp_load_once_u32(address) }

@inline(__always)
func loadOnce(_ type: UInt64.Type, _ address: UnsafeRawPointer) -> UInt64 { mp_load_once_u64(address) }

extension String {
    /// The text in the bytes, nil if they are not UTF-8; the bytes are copied before they are looked at.
    init?(copyingUTF8 source: UnsafeRawPointer, count: Int) {
        var isValid = true
        self.init(unsafeUninitializedCapacity: count) { target in
            UnsafeMutableRawBufferPointer(target).copyMemory(from: UnsafeRawBufferPointer(start: source, count: count))
            let copy = UnsafeBufferPointer(rebasing: target[..<count])
            // Most texts are ASCII. The initialiser itself would repair what is not UTF-8.
            if !isASCII(UnsafeRawBufferPointer(copy)) { isValid = (try? UTF8Span(validating: copy.span)) != nil }
            return count
        }
        if !isValid { return nil }
    }
}

@inline(__always)
private func isASCII(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var offset = 0
    var bits: UInt64 = 0
    while bytes.count - offset >= 8 {
        bits |= bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        offset += 8
    }
    while offset < bytes.count {
        bits |= UInt64(bytes[offset])
        offset += 1
    }
    return bits & 0x8080_8080_8080_8080 == 0
}
