extension Job {
    /// Encodes a result that was computed without a job, as a job would.
    ///
    /// - Throws: ``ClosureError`` if it cannot be encoded.
    public static func encodeResult<Result>(_ result: Result) throws(ClosureError) -> [UInt8] {
        try ResultCoding.encode(result)
    }
}
