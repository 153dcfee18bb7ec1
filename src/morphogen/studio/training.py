"""The page train."""

from fastapi import APIRouter, Request, Response

from morphogen.studio.studio import Studio


def router(studio: Studio) -> APIRouter:
    """The page and what it asks for."""
    routes = APIRouter()

    @routes.get("/train", include_in_schema=False)
    def page(request: Request) -> Response:
        return studio.page(request, "train")

    return routes
