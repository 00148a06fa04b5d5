import Foundation
import Glibc
import Multiprocessing
import SystemPackage
import Testing

private let long: Duration = .seconds(30)

/// An address of each family in a directory of its own.
private func withEachFamily(_ body: (Address?) throws -> Void) throws {
    try body(nil)
    try withTemporaryDirectory { directory in try body(.unix("\(directory)/listener")) }
}

extension ProcessTests {
    /// CPython's tests of listeners.
    @Suite struct ListenerPythonTests {
        // CPython: _TestListener.test_multiple_bind
        @Test func anAddressIsTakenOnce() throws {
            try withEachFamily { address in
                let listener = try Listener(address: address)
                #expect(failure { try Listener(address: listener.address) } == .exists)
                listener.close()
                try Listener(address: listener.address).close()
            }
        }

        // CPython: _TestListener.test_context
        @Test func closingAListener() throws {
            try withEachFamily { address in
                let listener = try Listener(address: address)
                let client = try Connection.connect(to: listener.address)
                let accepted = try listener.accept(timeout: long)
                try client.send(1729)
                #expect(try accepted.receive(Int.self, timeout: long) == 1729)
                accepted.close()
                client.close()
                listener.close()
                #expect(listener.isClosed)
                #expect(failure { try listener.accept() } == .closed)
                #expect(failure { try listener.accept(timeout: .zero) } == .closed)
                #expect(failure { try Connection.connect(to: listener.address) } == .notFound)
            }
        }

        // CPython: _TestListener.test_abstract_socket
        @Test func anAbstractName() throws {
            let listener = try Listener(address: .abstract("something \(getpid())"))
            let client = try Connection.connect(to: listener.address)
            let accepted = try listener.accept(timeout: long)
            try client.send(1729)
            #expect(try accepted.receive(Int.self, timeout: long) == 1729)
            #expect(listener.lastAccepted?.processIdentifier == getpid())
            #expect(listener.lastAccepted?.userIdentifier == geteuid())
        }

        // CPython: _TestListenerClient.test_listener_client
        @Test(arguments: Backend.allCases) func aClientConnects(backend: Backend) throws {
            try withEachFamily { address in
                let listener = try Listener(address: address)
                let place = listener.address
                let other = try backend.run {
                    let connection = try Connection.connect(to: place)
                    try connection.send("hello")
                    connection.close()
                }
                let connection = try listener.accept(timeout: long)
                #expect(try connection.receive(String.self, timeout: long) == "hello")
                #expect(failure { try connection.receive(String.self, timeout: long) } == .peerGone)
                try other.value()
            }
        }

        // CPython: _TestListenerClient.test_issue14725
        @Test(arguments: Backend.allCases) func aClientThatIsGoneBeforeItIsAccepted(backend: Backend) throws {
            let listener = try Listener()
            let place = listener.address
            let other = try backend.run {
                let connection = try Connection.connect(to: place)
                try connection.send("hello")
                connection.close()
            }
            try other.value()
            let connection = try listener.accept(timeout: long)
            #expect(try connection.receive(String.self, timeout: long) == "hello")
            connection.close()
        }

        // CPython: _TestListenerClient.test_issue16955
        @Test func theAcceptingSideSendsFirst() throws {
            try withEachFamily { address in
                let listener = try Listener(address: address)
                let client = try Connection.connect(to: listener.address)
                let accepted = try listener.accept(timeout: long)
                try accepted.sendBytes(Array("hello".utf8))
                #expect(try client.poll(timeout: .seconds(1)))
                accepted.close()
                #expect(try client.receiveBytes(timeout: long) == Array("hello".utf8))
            }
        }

        // CPython: _TestPicklingConnections.test_pickling
        @Test(arguments: Backend.processes) func acceptedConnectionsTravel(backend: Backend) throws {
            let (toListener, ofListener) = try Connection.pair()
            let accepting = try backend.run {
                let listener = try Listener()
                try ofListener.send(listener.address)
                let connection = try listener.accept(timeout: long)
                try ofListener.send(connection)
                connection.close()
                listener.close()
                // And a socket that is not ours.
                let file = try ofListener.receiveDescriptor(timeout: long)
                try ofListener.sendDescriptor(file)
                _ = try ofListener.receive(Bool.self, timeout: long)
            }
            ofListener.close()
            let (toRemote, ofRemote) = try Connection.pair()
            let remote = try backend.run {
                let (address, message) = (
                    try ofRemote.receive(Address.self, timeout: long), try ofRemote.receive(String.self, timeout: long)
                )
                let client = try Connection.connect(to: address)
                try client.send(message.uppercased())
                client.close()
            }
            ofRemote.close()
            try toRemote.send(toListener.receive(Address.self, timeout: long))
            try toRemote.send("this connection travels")
            let connection = try toListener.receive(Connection.self, timeout: long)
            #expect(try connection.receive(String.self, timeout: long) == "THIS CONNECTION TRAVELS")
            let pipe = try PlainPipe()
            try toListener.sendDescriptor(pipe.writing)
            let back = try toListener.receiveDescriptor(timeout: long)
            put("this descriptor as well", to: back.rawValue)
            try back.close()
            try toListener.send(true)
            try accepting.value()
            try remote.value()
            #expect(pipe.closeAndRead() == "this descriptor as well")
        }

        // CPython: TestIgnoreEINTR.test_ignore_listener
        @Test(arguments: StartMethod.allCases) func signalsDoNotInterruptAccept(method: StartMethod) throws {
            let (ours, theirs) = try Connection.pair()
            let child = try ChildProcess(startMethod: method) {
                signal(SIGUSR1) { _ in }
                let listener = try Listener()
                try theirs.send(listener.address)
                try listener.accept(timeout: long).send("welcome")
            }
            try child.start()
            theirs.close()
            let address = try ours.receive(Address.self, timeout: long)
            pause(.milliseconds(100))
            kill(try #require(child.processIdentifier), SIGUSR1)
            pause(.milliseconds(100))
            let client = try Connection.connect(to: address)
            #expect(try client.receive(String.self, timeout: long) == "welcome")
            #expect(try child.join(timeout: long))
        }

        // CPython: TestInvalidFamily.test_invalid_family
        @Test func invalidAddresses() {
            for address in [Address.unix(""), .unix(String(repeating: "x", count: 108)), .unix("a\0b"), .abstract("")] {
                #expect(failure { try Listener(address: address) } == .invalidArgument)
                #expect(failure { try Connection.connect(to: address) } == .invalidArgument)
            }
            #expect(failure { try Listener(address: .unix("/no such directory/listener")) } == .notFound)
            #expect(failure { try Connection.connect(to: .unix("/no such directory/listener")) } == .notFound)
            #expect(failure { try Listener(backlog: 0) } == .invalidArgument)
        }

        // CPython: TestInvalidHandle.test_invalid_handles
        @Test func invalidDescriptors() throws {
            let (a, _) = try Connection.pair()
            for number in [-1, 44_977_608] as [Int32] {
                let file = FileDescriptor(rawValue: number)
                #expect(failure { try a.sendDescriptor(file) } == .invalidArgument)
                if number > 0 { #expect(failure { try waitAny(of: [a, file], timeout: .zero) } == .invalidArgument) }
            }
        }
    }
}
