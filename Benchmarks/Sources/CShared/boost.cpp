#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "CBaselines.h"
#include "CShared.h"

#if __has_include(<boost/interprocess/ipc/message_queue.hpp>)
#include <boost/interprocess/ipc/message_queue.hpp>
#include <sys/wait.h>
#include <unistd.h>
#include <string>
#include <vector>

int64_t mpb_boost_queue(size_t size, int count) try {
    using boost::interprocess::message_queue;
    const std::string name = "mpbench-" + std::to_string(getpid());
    // As many bytes in flight as a queue of the library allows by default would be unfair to its fixed slots: 1024 messages.
    message_queue::remove(name.c_str());
    message_queue queue(boost::interprocess::create_only, name.c_str(), 1024, size ? size : 1);
    pid_t pid = fork();
    if (pid == 0) {
        std::vector<char> message(size ? size : 1);
        for (int i = 0; i < count + 1; i++) queue.send(message.data(), size, 0);
        _exit(0);
    }
    message_queue::remove(name.c_str());
    if (pid < 0) return -EAGAIN;
    std::vector<char> message(size ? size : 1);
    int64_t begin = 0;
    for (int i = 0; i < count + 1; i++) {
        size_t received;
        unsigned priority;
        queue.receive(message.data(), message.size(), received, priority);
        if (i == 0) begin = mpb_now();
    }
    int64_t time = mpb_now() - begin;
    waitpid(pid, nullptr, 0);
    return time;
} catch (...) {
    return -EIO;
}
#else
int64_t mpb_boost_queue(size_t, int) { return -ENOSYS; }
#endif
