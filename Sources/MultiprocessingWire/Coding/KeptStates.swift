internal import _MultiprocessingShims

// The state of one message serves the thread's next one: its memory is there already. It is taken out while it is in use,
// so a value that codes other values in its own `encode(to:)` finds none and makes another. A state that somebody else
// still refers to (a container that outlived its value) is never used again: it stays closed, and refuses.
//
// Unsafe code. `take` hands out a reference that is owned, and `giveBack` ends it: each is called once for a message. It is
// not managed, so that no copy of it is alive in the caller when `giveBack` asks whether it is the only one.

extension EncodingState {
    /// A state to write a message with.
    @inline(__always)
    static func take(limits: CodingLimits, userInfo: [CodingUserInfoKey: Any]) -> Unmanaged<EncodingState> {
        guard let kept = mp_kept_take(mp_kept_encoding) else {
            let buffer = WireBuffer(minimumCapacity: 256)
            return .passRetained(EncodingState(buffer: buffer, limits: limits, userInfo: userInfo))
        }
        let state = Unmanaged<EncodingState>.fromOpaque(kept)
        state.takeUnretainedValue().reopen(limits: limits, userInfo: userInfo)
        return state
    }

    /// Ends a message, and keeps its state for the next one if nobody else can reach it.
    @inline(__always)
    static func giveBack(_ reference: Unmanaged<EncodingState>) {
        var state = reference.takeRetainedValue()
        state.close()
        guard isKnownUniquelyReferenced(&state) else { return }
        state.empty()
        let reference = Unmanaged.passRetained(state)
        if !mp_kept_give(mp_kept_encoding, reference.toOpaque()) { reference.release() }
    }
}

extension DecodingState {
    /// A state to read a message with; the bytes stay valid until it is given back.
    @inline(__always)
    static func take(
        _ bytes: UnsafeRawBufferPointer,
        limits: CodingLimits,
        userInfo: [CodingUserInfoKey: Any]
    ) -> Unmanaged<DecodingState> {
        guard let kept = mp_kept_take(mp_kept_decoding) else {
            return .passRetained(DecodingState(bytes, limits: limits, userInfo: userInfo))
        }
        let state = Unmanaged<DecodingState>.fromOpaque(kept)
        state.takeUnretainedValue().reopen(bytes, limits: limits, userInfo: userInfo)
        return state
    }

    /// Ends a message, and keeps its state for the next one if nobody else can reach it.
    @inline(__always)
    static func giveBack(_ reference: Unmanaged<DecodingState>) {
        var state = reference.takeRetainedValue()
        state.close()
        guard isKnownUniquelyReferenced(&state) else { return }
        state.empty()
        let reference = Unmanaged.passRetained(state)
        if !mp_kept_give(mp_kept_decoding, reference.toOpaque()) { reference.release() }
    }
}
