// Requests as clients send them, in pieces and wrong.
#include "agent/serve/http.h"

#include <gtest/gtest.h>

namespace time_chaos::serve {
namespace {

bool is_nothing_yet(const Parsed& parsed) {
  return std::holds_alternative<std::monostate>(parsed);
}
int refusal(const Parsed& parsed) {
  const auto* response = std::get_if<Response>(&parsed);
  return response == nullptr ? 0 : response->status;
}

TEST(Http, ARequestIsCompleteWithItsLastByte) {
  const std::string text = "POST /set?x=1 HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  5 \r\n\r\nhello";
  for (size_t i = 0; i < text.size(); i++)
    EXPECT_TRUE(is_nothing_yet(parse_request(text.substr(0, i))));
  const Parsed parsed = parse_request(text + "more");
  const auto* request = std::get_if<Request>(&parsed);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(request->method, "POST");
  EXPECT_EQ(request->path, "/set");
  EXPECT_EQ(request->body, "hello");
  EXPECT_FALSE(request->trusted);
}

TEST(Http, WithoutABody) {
  const Parsed parsed = parse_request("GET /metrics HTTP/1.0\r\n\r\n");
  const auto* request = std::get_if<Request>(&parsed);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(request->path, "/metrics");
  EXPECT_EQ(request->body, "");
}

TEST(Http, IsRefusedWhereItIsWrong) {
  const std::pair<std::string, int> cases[] = {
      {"\r\n\r\n", 400},
      {"GET\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET / HTTP/2\r\n\r\n", 400},
      {"GET metrics HTTP/1.1\r\n\r\n", 400},
      {"G\x01T / HTTP/1.1\r\n\r\n", 400},
      {"GET / x HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 413},
      {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
      {std::string(kMostHead + 1, 'x'), 431},
      {"GET / HTTP/1.1\r\nA: " + std::string(kMostHead, 'x') + "\r\n\r\n", 431},
  };
  for (const auto& [text, status] : cases) {
    EXPECT_EQ(refusal(parse_request(text)), status) << text.substr(0, 80);
  }
}

TEST(Http, AnAnswer) {
  EXPECT_EQ(written({200, "text/plain", "ok\n"}, false),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
            "Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\nok\n");
  EXPECT_TRUE(written({200, "text/plain", "ok\n"}, true).ends_with("\r\n\r\n"));
}

}  // namespace
}  // namespace time_chaos::serve
