import Glibc

@main
enum Scenarios {
    static func main() async throws {
        fatalError("to come")
    }
}
