<?xml version="1.0" encoding="UTF-8"?>
<!--
  A stylesheet as a firm may have written it for the old layout: it knows no namespace, pushes with
  apply-templates and leaves everything it does not name to the built-in rules, which print text.
-->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="xml" indent="no" encoding="UTF-8"/>

  <xsl:template match="/Conversations">
    <ChatArchive rooms="{count(Conversation)}">
      <xsl:apply-templates/>
    </ChatArchive>
  </xsl:template>

  <xsl:template match="Conversation">
    <Room name="{Channel/@name}" address="{Channel/@uri}">
      <xsl:attribute name="from"><xsl:value-of select="StartTimeUTC/@since1970"/></xsl:attribute>
      <xsl:attribute name="to"><xsl:value-of select="EndTimeUTC/@string"/></xsl:attribute>
      <Opening by="{FirstMessage/Sender/@UserName}" ticks="{FirstMessage/DateTimeUTC/@long}">
        <xsl:value-of select="FirstMessage/@content"/>
      </Opening>
      <xsl:apply-templates/>
    </Room>
  </xsl:template>

  <!-- FirstMessage is told above; the built-in rules walk into it nevertheless, and must find nothing. -->
  <xsl:template match="Messages/Message">
    <Line no="{position()}" of="{last()}" kind="{@type}" id="{@id}">
      <xsl:attribute name="at"><xsl:value-of select="DateTimeUTC/@since1970"/></xsl:attribute>
      <xsl:choose>
        <xsl:when test="@type = 'CHAT'"><Text><xsl:value-of select="@content"/></Text></xsl:when>
        <xsl:when test="@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD'"><File><xsl:value-of select="@content"/></File></xsl:when>
        <xsl:when test="@type = 'BACKCHAT'"><Asked><xsl:value-of select="@content"/></Asked></xsl:when>
      </xsl:choose>
      <xsl:apply-templates/>
    </Line>
  </xsl:template>

  <xsl:template match="Sender">
    <By mail="{@email}" number="{@id}" inside="{@internal}" address="{@uri}"><xsl:value-of select="@UserName"/></By>
  </xsl:template>

  <xsl:template match="FirstMessage//Sender"/>
</xsl:stylesheet>
