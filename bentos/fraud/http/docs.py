"""The page that shows the OpenAPI document.

BentoML has one, which reports each reader to a tracking service of a third party. This one uses the same files of
Swagger UI, which BentoML's application serves, and asks nobody else: its policy forbids it to.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from bentos.fraud.http.problems import HttpAnswer

__all__ = ["DOCS_PAGE"]

_HTML: Final = """<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>fraud_detector</title>
    <link rel="stylesheet" href="./static_content/swagger-ui.css">
    <link rel="icon" href="data:,">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="./static_content/swagger-ui-bundle.js" charset="utf-8"></script>
    <script src="./static_content/swagger-ui-standalone-preset.js" charset="utf-8"></script>
    <script src="./static_content/swagger-initializer.js" charset="utf-8"></script>
  </body>
</html>
"""

DOCS_PAGE: Final = HttpAnswer(
    HTTPStatus.OK,
    _HTML.encode(),
    "text/html; charset=utf-8",
    {"content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"},
)
