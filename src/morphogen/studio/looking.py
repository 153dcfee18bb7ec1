"""The page look."""

from fastapi import APIRouter, Request, Response

from morphogen.studio.studio import Studio


def router(studio: Studio) -> APIRouter:
    """The page and what it asks for."""
    routes = APIRouter()

    @routes.get("/look", include_in_schema=False)
    def page(request: Request) -> Response:
        return studio.page(request, "look")

    return routes
